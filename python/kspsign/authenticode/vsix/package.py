"""A VSIX package as a signable file. Streams: memory does not grow with it.

The signature is a part of the package. Its digest is that of all other parts with their types; what of the archive no
part has is checked instead. An unsigned package has the digest that it will have with a signature, whose other parts
(origin, relationships) are signed with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn

from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Glimpse
from kspsign.authenticode.vsix.content_types import PackageTypes, read_content_types
from kspsign.authenticode.vsix.digests import PartHasher, VsixDigest
from kspsign.authenticode.vsix.entries import entries_fault, padding_fault
from kspsign.authenticode.vsix.errors import UnnamedPartsError
from kspsign.authenticode.vsix.layout import PackageLayout, read_layout
from kspsign.authenticode.vsix.names import (
    CODE_EXTENSION,
    CONTENT_TYPES,
    MANIFEST,
    ORIGIN,
    PACKAGE_RELATIONSHIPS,
    is_relationships,
    names_fault,
    relationships_of,
)
from kspsign.authenticode.vsix.package_object import SignedPart, write_package_object
from kspsign.authenticode.vsix.profile import VSIX_PROFILE, VsixProfile
from kspsign.authenticode.vsix.signature import VsixSignature
from kspsign.authenticode.xmldsig.document import MAX_SIZE
from kspsign.authenticode.zip import Archive, Plan, ZipMember, archive_of, entry_names, unpack
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_SUFFIX = ".vsix"
_ORIGINS = relationships_of(ORIGIN)
_MAX_PART = 4 << 20
"""Bytes of one part that is read as a whole: types, relationships."""
_MAX_PARTS = 20_000
"""Each is an entry of the signature, a document that is kept in memory."""
_MAX_RELATIONSHIPS = 1000
"""Parts with relationships: a VSIX package has two."""
_REPACK = (
    "Pack it again with Visual Studio's SDK (MSBuild), or with a tool that follows the Open Packaging Conventions."
)


def is_vsix(glimpse: Glimpse) -> bool:
    """Whether the content is a VSIX package, whole or cut off: an archive with extension.vsixmanifest at its root, or
    another package of that name, as Visual Studio's own setup has them. One of Visual Studio Code is none: it reads no
    signature in it."""
    names = entry_names(glimpse)
    is_named = glimpse.path.suffix.lower() == _SUFFIX
    if names is None or CODE_EXTENSION in names:
        return is_named and names is None
    return MANIFEST in names or (is_named and CONTENT_TYPES in names)


@dataclass(frozen=True, slots=True)
class VsixFile:
    """A VSIX package whose archive was read and checked; see SignableFile."""

    archive: Archive = field(repr=False)
    layout: PackageLayout = field(repr=False)
    relationships: Mapping[str, bytes] = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)
    occupant: str | None = None

    @classmethod
    def open(cls, snapshot: Snapshot) -> VsixFile:
        """Read the structure; raises ArtifactError when it contradicts itself."""
        archive = archive_of(snapshot)
        names = tuple(entry.name for entry in archive.entries)
        with snapshot.open() as file:
            chosen = [entry for entry in archive.entries if entry.name == CONTENT_TYPES or is_relationships(entry.name)]
            if len(chosen) > _MAX_RELATIONSHIPS or CONTENT_TYPES not in names:
                _refuse(
                    f"it has no {CONTENT_TYPES}, or more than {_MAX_RELATIONSHIPS} parts with relationships", _REPACK
                )
            parts = {entry.name: unpack(file, archive, entry, _MAX_PART) for entry in chosen}
            types, occupant = _types(parts.pop(CONTENT_TYPES)), None
            try:
                layout = read_layout(names, types, parts)
            except UnnamedPartsError as stray:
                layout, occupant = PackageLayout(dict.fromkeys(names), types, None), str(stray)
            except ValueError as broken:
                raise ArtifactError(
                    Hresult.TRUST_E_MALFORMED_SIGNATURE, f"its relationships can't be used: {broken}", remedy=_REPACK
                ) from broken
            entry = None if layout.signature is None else archive.find(layout.signature)
            signatures = () if entry is None else (unpack(file, archive, entry, MAX_SIZE),)
        return cls(archive, layout, parts, signatures, occupant)

    @property
    def snapshot(self) -> Snapshot:
        """The file, as it is read."""
        return self.archive.snapshot

    @property
    def profile(self) -> VsixProfile:
        """That of VSIX."""
        return VSIX_PROFILE

    @property
    def keeps_digest(self) -> bool:
        """Whether it has the same digest without its signature: it was signed here, with the parts that are written
        here."""
        try:
            again = self.layout.without_signature().with_signature()
        except ValueError:
            return False
        origin = self.archive.find(ORIGIN)
        same = all(again.entries[name] == self.relationships.get(name) for name in (PACKAGE_RELATIONSHIPS, _ORIGINS))
        return same and origin is not None and not origin.size and {*again.entries} == {*self.layout.entries}

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError for what Visual Studio would refuse, and for what a signature would not cover."""
        if terms.append and self.signatures:
            _refuse("it is signed already, and a VSIX package has one signature", "Choose --replace.")
        if terms.chain and not isinstance(parse_certificate(terms.chain[0]).public_key(), rsa.RSAPublicKey):
            _refuse(
                "Visual Studio accepts RSA only in VSIX packages, and the certificate has a key of another kind",
                "Sign VSIX packages with an RSA certificate, or exclude them (!**/*.vsix).",
            )
        if len(self.archive.entries) > _MAX_PARTS:
            _refuse(
                f"it has {len(self.archive.entries)} files, and at most {_MAX_PARTS} can be signed in a VSIX package",
                "Pack many small files into one, as Visual Studio's templates do (zip).",
            )
        fault = self._fault() if self.occupant is None else f"it has parts of a signature: {self.occupant}"
        if fault is not None:
            _refuse(fault, _REPACK)
        self._layout_to_sign()

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> VsixDigest:
        """Hash every part, those included that a signature adds where there is none yet."""
        layout = self.layout if self.signatures else self._layout_to_sign()
        return self._digest(algorithms, layout)

    def digest_to_sign(self, terms: SigningTerms) -> VsixDigest:
        """See FormatFile: with the parts of the signature that is to be made."""
        return self._digest([terms.algorithm], self._layout_to_sign())

    def digest_to_check(self, signatures: Sequence[VsixSignature]) -> VsixDigest:
        """See FormatFile: relationships as the signatures select them."""
        algorithms = {signature.algorithm for signature in signatures}
        selected = tuple(
            part for signature in signatures for part in signature.package.parts if part.selection is not None
        )
        return self._digest(algorithms, self.layout if self.signatures else self._layout_to_check(), selected)

    def structure(self, digest: VsixDigest, signatures: Sequence[VsixSignature]) -> tuple[Finding, ...]:
        """The checks "package-parts", "content-types", "signature-entry" and "package-content"."""
        return (*self._findings(digest, signatures), *digest.findings)

    def content(self, terms: SigningTerms, digest: VsixDigest) -> bytes:
        """The Object that is to be signed; raises ArtifactError when an entry can't be unpacked."""
        for finding in digest.findings:
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, finding.detail)
        return write_package_object(digest.parts[terms.algorithm], terms.algorithm, terms.moment).encode()

    def embed(self, _digest: VsixDigest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the package with the one of `signatures` to `target`; without any it has none.

        A signature that it has already (with another timestamp, say) keeps its place. Raises ArtifactError for two.
        """
        if len(signatures) > 1:
            _refuse("a VSIX package has one signature", "Choose --replace.")
        if not signatures:
            layout, written = self._changed(), None
        else:
            layout, written = self._layout_of(signatures[0]), signatures[0]
        replaced = layout.written(written)
        kept = tuple(
            entry for entry in self.archive.entries if entry.name in layout.entries and entry.name not in replaced
        )
        Plan(self.archive, kept, tuple(ZipMember(name, content) for name, content in replaced.items())).write(target)

    def _layout_of(self, signature: bytes) -> PackageLayout:
        """The package as it is where `signature` is its own, else the one that signing makes."""
        if self.signatures:
            try:
                if VSIX_PROFILE.read(signature).value == VSIX_PROFILE.read(self.signatures[0]).value:
                    return self.layout
            except TrustError:
                pass  # its own can't be read: it is replaced
        return self._layout_to_sign()

    def _layout_to_sign(self) -> PackageLayout:
        try:
            return self._changed().with_signature()
        except ValueError as broken:
            _refuse(f"a signature's parts can't be added: {broken}", _REPACK)

    def _layout_to_check(self) -> PackageLayout:
        """That of an unsigned package that is only judged: it need not be one that can be signed."""
        try:
            return self.layout.with_signature()
        except ValueError:
            return self.layout

    def _changed(self) -> PackageLayout:
        try:
            return self.layout.without_signature()
        except ValueError as broken:
            _refuse(f"its signature can't be taken out: {broken}", _REPACK)

    def _digest(
        self, algorithms: Collection[DigestAlgorithm], layout: PackageLayout, selected: Sequence[SignedPart] = ()
    ) -> VsixDigest:
        return PartHasher(self.archive, layout, self.relationships, selected).digest(algorithms)

    def _findings(self, digest: VsixDigest, signatures: Sequence[VsixSignature]) -> Iterator[Finding]:
        if not self.signatures:
            return
        for signature in signatures:
            fault = _difference(signature.package.parts, digest.parts[signature.algorithm])
            if fault is not None:
                yield Finding("package-parts", fault, Hresult.TRUST_E_BAD_DIGEST)
            else:
                yield Finding("package-parts", f"{len(signature.package.parts)}, all of them signed")
        names = tuple(entry.name for entry in self.archive.entries)
        fault = self.layout.types.fault(names)
        if fault is not None:
            yield Finding("content-types", f"{CONTENT_TYPES}: {fault}", Hresult.ERROR_BAD_FORMAT)
        else:
            yield Finding("content-types", "one for each part")
        with self.snapshot.open() as file:
            fault = names_fault(names) or entries_fault(file, self.archive) or padding_fault(file, self.archive)
        if fault is not None:
            yield Finding("signature-entry", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE)
        else:
            yield Finding("signature-entry", "nothing in the archive but its parts")

    def _fault(self) -> str | None:
        """Why the archive is not one that a signature could cover."""
        names = tuple(entry.name for entry in self.archive.entries)
        fault = names_fault(names) or self.layout.types.fault(names)
        if fault is not None:
            return fault
        with self.snapshot.open() as file:
            return entries_fault(file, self.archive)


def _difference(signed: Sequence[SignedPart], actual: Sequence[SignedPart]) -> str | None:
    """The first part in which what is signed and what is there differ; None when they are the same."""
    wanted, found = {part.name: part for part in signed}, {part.name: part for part in actual}
    for name, part in found.items():
        if name not in wanted:
            return f"{name} is not signed: it was added"
        other = wanted[name]
        if other.content_type != part.content_type:
            return f"{name} has the type {part.content_type}, and was signed as {other.content_type}"
        if other != part:
            return f"{name} is not what was signed"
    missing = next((name for name in wanted if name not in found), None)
    return None if missing is None else f"{missing} is signed, and is not there"


def _types(data: bytes) -> PackageTypes:
    try:
        return read_content_types(data)
    except ValueError as broken:
        _refuse(f"{CONTENT_TYPES} can't be used: {broken}", _REPACK)


def _refuse(what: str, remedy: str) -> NoReturn:
    raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, what, remedy=remedy)
