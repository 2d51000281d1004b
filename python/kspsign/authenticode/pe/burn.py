"""A setup bundle of WiX (Burn) with attached containers as a signable file: its engine is signed first, the containers
are attached to it again, and then the whole is signed.

The engine is the file's beginning as Burn puts it into the package cache (burn/engine/cache.cpp): header and section as
they were before the containers were attached.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.view import SnapshotView
from kspsign.authenticode.pe.burn_section import BUILD, ORIGINALS, BurnSection, read_section, section_fault
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.pe.image import PeFile
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import InnerFile
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_MAX_NESTED = 16  # signatures of an engine that are looked at
_REPLACE = "Sign it with --replace, which signs the engine, attaches the containers again and signs the bundle."


def open_bundle(image: PeFile, *, replacing: bool) -> PeFile:
    """The bundle that `image` is, which has a section of Burn; `image` itself when nothing is attached to it. With
    `replacing` the signatures of a signed bundle are to be replaced, its engine's too.

    Raises ArtifactError (ERROR_BAD_FORMAT) when the section can't be read.
    """
    with image.snapshot.open() as file:
        section = read_section(file, image.layout)
        fault = section_fault(file, image.layout, section)
    if fault is None and section.is_alone(image.layout):
        return image
    replaces = replacing and image.layout.signed
    engine = None
    if fault is None:
        try:
            engine = PeFile.open(_engine(image, section, signed=section.is_engine_signed and not replaces))
        except ArtifactError as broken:
            fault = f"its engine can't be read: {broken.message}"
    if engine is not None and engine.layout.signed and not engine.signatures:
        engine, fault = None, f"no signature of its engine is at {section.signature_offset}, where it names one"
    return BurnBundle(
        image.snapshot, image.layout, image.table, section=section, engine=engine, fault=fault, replaces=replaces
    )


@dataclass(frozen=True)
class BurnBundle(PeFile):
    """A bundle whose section was read; see SignableFile and BundledFiles. `engine` is None where there is a `fault`."""

    section: BurnSection = field(kw_only=True)
    engine: PeFile | None = field(kw_only=True)
    fault: str | None = field(kw_only=True)
    replaces: bool = field(kw_only=True)

    def guard(self) -> None:
        """Raise ArtifactError when the section contradicts the file, and for a second signature of a bundle whose
        engine has none; see GuardedFile."""
        if self.fault is not None:
            raise ArtifactError(
                Hresult.ERROR_NOT_SUPPORTED, f"it is a WiX bundle (Burn), and {self.fault}", remedy=BUILD
            )
        if self.layout.signed and not self.replaces and self.unsigned_inner():
            raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, self._lost_payload(), remedy=_REPLACE)

    def admit(self, terms: SigningTerms) -> None:
        """See FormatFile: of the engine too where it is to be signed."""
        super().admit(terms)
        if self.engine is not None and self.unsigned_inner():
            self.engine.admit(terms)

    @property
    def has_inner_files(self) -> bool:
        """Whether the engine can be read."""
        return self.engine is not None

    def inner_files(self, digest: PeDigest) -> tuple[InnerFile, ...]:
        """The engine."""
        return () if self.engine is None else (InnerFile("engine", self.engine, digest.inner[0]),)

    def unsigned_inner(self) -> tuple[int, ...]:
        """The engine, when it is not signed or is to be signed again."""
        return (0,) if self.engine is not None and not self.engine.signatures else ()

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> PeDigest:
        """See FormatFile."""
        return self._with_engine(super().digest(algorithms), algorithms)

    def digest_to_sign(self, terms: SigningTerms) -> PeDigest:
        """See FormatFile."""
        found = super().digest_to_sign(terms)
        if self.engine is None or not self.unsigned_inner():
            return self._with_engine(found, ())
        return replace(found, inner=(self.engine.digest_to_sign(terms),))

    def digest_to_check(self, signatures: Sequence[CmsSignature]) -> PeDigest:
        """See FormatFile."""
        return self._with_engine(super().digest_to_check(signatures), ())

    def structure(self, digest: PeDigest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks of a PE image and, where the bundle is signed, "attached-containers"."""
        found = super().structure(digest, signatures)
        return (*found, self._containers_finding()) if self.signatures else found

    def embed(self, digest: PeDigest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """See FormatFile. Without any the engine's signature is taken out too: what is left is the bundle as WiX built
        it."""
        if signatures or self.fault is not None:
            super().embed(digest, signatures, target)
            return
        with _engine(self, self.section, signed=False).open() as engine:
            target.writelines(stretch(engine, self.section.engine_end))
        target.seek(self.layout.checksum_offset)
        target.write(bytes(4))
        self._attach(target)

    @property
    def keeps_digest(self) -> bool:
        """Whether only the bundle is signed, or its engine can't be read and stays as it is; see RedigestedFile."""
        return self.fault is not None or not self.section.is_engine_signed

    def rebuild(self, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
        """See BundledFiles: the signed engine, its signature noted in the section in place of the header, and the
        containers after it."""
        if self.engine is None:
            raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, f"it is a WiX bundle (Burn), and {self.fault}")
        self.engine.embed(self.engine.digest([]), (signatures[0],), target)
        fields = []
        for offset, size in ((self.layout.checksum_offset, 4), (self.layout.directory_offset, 8)):
            target.seek(offset)
            fields.append(target.read(size))
            target.seek(offset)
            target.write(bytes(size))
        target.seek(self.section.at + ORIGINALS)
        target.write(b"".join(fields))
        self._attach(target)

    def _attach(self, target: BinaryIO) -> None:
        """Write the attached containers after the engine in `target`."""
        target.seek(0, 2)
        with self.snapshot.open() as source:
            source.seek(self.section.payload)
            target.writelines(stretch(source, self.section.payload_end - self.section.payload))
        target.truncate()

    def _with_engine(self, found: PeDigest, algorithms: Collection[DigestAlgorithm]) -> PeDigest:
        """`found` with the digest of the engine, as its own signatures hold it, else by `algorithms`."""
        if self.engine is None:
            return found
        own = _read_signatures(self.engine)
        return replace(found, inner=(self.engine.digest_to_check(own) if own else self.engine.digest(algorithms),))

    def _containers_finding(self) -> Finding:
        if self.fault is not None:
            return Finding("attached-containers", self.fault, Hresult.ERROR_BAD_FORMAT, BUILD)
        if self.unsigned_inner():
            return Finding("attached-containers", self._lost_payload(), Hresult.ERROR_BAD_FORMAT, _REPLACE)
        count = sum(map(bool, self.section.containers[1:]))
        return Finding(
            "attached-containers", f"{count} from {self.section.payload} on, after the engine's own signature"
        )

    def _lost_payload(self) -> str:
        return (
            "it is a WiX bundle (Burn) that was signed without its engine: it looks for its attached containers after "
            f"its signature, at {self.section.searched(self.layout)}, and they are at {self.section.payload}"
        )


def _engine(image: PeFile, section: BurnSection, *, signed: bool) -> SnapshotView:
    """The engine before containers were attached to it, with its signature or without."""
    originals = struct.pack("<III", section.checksum, section.signature_offset, section.signature_size)
    patches = {section.at + ORIGINALS: bytes(len(originals)), image.layout.directory_offset: bytes(8)}
    if not signed:
        return SnapshotView(image.snapshot, section.engine_end, patches)
    patches[image.layout.checksum_offset] = originals[:4]
    patches[image.layout.directory_offset] = originals[4:]
    return SnapshotView(image.snapshot, section.payload, patches)


def _read_signatures(engine: PeFile) -> tuple[CmsSignature, ...]:
    """The engine's signatures and those in them, as far as they can be read: what is wrong is the verifier's to say."""
    read: list[CmsSignature] = []
    waiting = list(engine.signatures)
    while waiting and len(read) < _MAX_NESTED:
        try:
            signature = engine.profile.read(waiting.pop(0))
        except TrustError:
            continue
        read.append(signature)
        waiting[:0] = signature.further
    return tuple(read)
