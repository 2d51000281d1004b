"""A manifest of ClickOnce or VSTO as a signable file. Signing changes the token in its identity and its publisher, and
adds the signature as the last element; every other byte stays."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from kspsign.authenticode.clickonce import checks
from kspsign.authenticode.clickonce.edit import restated_bytes, signed_bytes, unsigned_bytes, with_signature
from kspsign.authenticode.clickonce.files import files_finding, token_of_listed
from kspsign.authenticode.clickonce.identity import public_key_token, publisher_of, rsa_key_of
from kspsign.authenticode.clickonce.license import Grant, identity_of, license_markup
from kspsign.authenticode.clickonce.manifest import MAX_MANIFEST, ClickOnceManifest, kind_of, read_manifest
from kspsign.authenticode.clickonce.profile import MANIFEST, ManifestProfile, publisher_markup
from kspsign.authenticode.clickonce.references import references_of
from kspsign.authenticode.clickonce.signature import ManifestSignature
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.references import FileReference, SizedDigest
from kspsign.authenticode.signable import Digest, Glimpse, SignableFormat
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_DEPLOYMENTS = frozenset({".application", ".vsto"})
_MARK = b"urn:schemas-microsoft-com:asm.v"


def is_deployment_manifest(glimpse: Glimpse) -> bool:
    """Whether the content is a deployment manifest; a damaged one by its extension."""
    return _is_manifest(glimpse) and _kind(glimpse, default=glimpse.path.suffix.lower() in _DEPLOYMENTS) is True


def is_application_manifest(glimpse: Glimpse) -> bool:
    """Whether the content is an application manifest of ClickOnce or VSTO, not one of a program for Windows itself."""
    return _is_manifest(glimpse) and _kind(glimpse, default=None) is False


def _is_manifest(glimpse: Glimpse) -> bool:
    """Whether it may be one by its name and first bytes: Windows takes no file of another name for one."""
    named = glimpse.path.suffix.lower() in {*_DEPLOYMENTS, ".manifest"}
    return named and _MARK in glimpse.head and glimpse.size <= MAX_MANIFEST


def _kind(glimpse: Glimpse, *, default: bool | None) -> bool | None:
    data = glimpse.snapshot.whole(MAX_MANIFEST)
    try:
        return kind_of(data or b"")
    except ValueError:
        return default or None


class CompletedDigest(Digest):
    """A digest of the manifest with the publisher and the key's token of who is to sign it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest whose structure was read and checked; see SignableFile. `manifest` is what is to be signed: that of
    the file, or with what signing changed of the files that it lists."""

    snapshot: Snapshot
    manifest: ClickOnceManifest = field(repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> ManifestFile:
        """Read the manifest; raises ArtifactError (ERROR_BAD_FORMAT) when it is not one whose meaning is clear."""
        try:
            return cls(snapshot, read_manifest(snapshot.whole(MAX_MANIFEST)))
        except ValueError as broken:
            message = f"the manifest can't be taken for what it says: {broken}"
            raise ArtifactError(Hresult.ERROR_BAD_FORMAT, message) from broken

    @property
    def profile(self) -> ManifestProfile:
        """That of manifests."""
        return MANIFEST

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The signature, after the publisher that the manifest names."""
        manifest = self.manifest
        if manifest.signature is None:
            return ()
        named = b"" if manifest.publisher_name is None else publisher_markup(manifest.publisher_name).encode()
        return (named + manifest.located.source(manifest.signature),)

    def references(self) -> tuple[FileReference, ...]:
        """See ReferencingFile."""
        manifest = self.manifest
        return references_of(manifest.entries, self.snapshot.path.parent, deployment=manifest.is_deployment)

    def restated(self, states: Mapping[str, SizedDigest]) -> ManifestFile:
        """See ReferencingFile: a manifest's key may have changed with it."""
        tokens = {
            reference.name: token_of_listed(entry, reference)
            for entry, reference in zip(self.manifest.entries, self.references(), strict=True)
            if self.manifest.is_deployment and reference.name in states
        }
        return replace(self, manifest=read_manifest(restated_bytes(self.manifest, states, tokens)))

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError for what Windows would not take: another key than RSA, another digest than SHA-256, an
        identity without a place for the key's token; and for files whose hash is of SHA-1."""
        checks.admit(self.manifest, terms)

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the manifest without its signature."""
        canonical = self.manifest.canonical
        values = {algorithm: hashlib.new(algorithm, canonical).digest() for algorithm in algorithms}
        return Digest(values, self.snapshot.sha256())

    def digest_to_sign(self, terms: SigningTerms) -> Digest:
        """That of the manifest as it will be signed."""
        canonical = self._completed(terms).canonical
        values = {terms.algorithm: hashlib.new(terms.algorithm, canonical).digest()}
        return CompletedDigest(values, self.snapshot.sha256())

    def digest_to_check(self, signatures: Sequence[ManifestSignature]) -> Digest:
        """See FormatFile."""
        return self.digest({signature.algorithm for signature in signatures})

    def structure(self, digest: Digest, signatures: Sequence[ManifestSignature]) -> tuple[Finding, ...]:
        """The checks "strong-name", "manifest-license" and "manifest-files"."""
        if not signatures:
            return ()
        found = (finding for signature in signatures for finding in checks.findings(self.manifest, digest, signature))
        try:
            references = self.references()
        except ArtifactError as unclear:
            return (*found, Finding("manifest-files", unclear.message, unclear.hresult, unclear.remedy))
        return (*found, files_finding(references, self.manifest))

    def content(self, terms: SigningTerms, _digest: Digest) -> bytes:
        """The licence that grants the manifest to who signs on these terms."""
        completed = self._completed(terms)
        grant = Grant(
            hashlib.new(terms.algorithm, completed.canonical).digest(),
            identity_of(completed.identity),
            publisher_of(terms.chain).name,
            terms.description or "",
            terms.description_url or "",
        )
        return license_markup(grant).encode()

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the manifest with the first of `signatures`; with the publisher and the key's token that go with it
        where `digest` is of a manifest that has them. Else it keeps what a signature covers."""
        if not signatures:
            target.write(unsigned_bytes(self.manifest))
            return
        read = MANIFEST.read(signatures[0])
        signature = signatures[0][len(publisher_markup(read.publisher).encode()) :]
        if isinstance(digest, CompletedDigest):
            target.write(signed_bytes(self.manifest, read.publisher, read.token() or "", signature))
        else:
            target.write(with_signature(self.manifest, signature))

    def _completed(self, terms: SigningTerms) -> ClickOnceManifest:
        """The manifest with all that a signature on these terms covers."""
        token = public_key_token(rsa_key_of(terms.chain[0]))
        return read_manifest(signed_bytes(self.manifest, publisher_of(terms.chain), token))


APPLICATION_MANIFEST: Final = SignableFormat(is_application_manifest, ManifestFile.open)
DEPLOYMENT_MANIFEST: Final = SignableFormat(is_deployment_manifest, ManifestFile.open)
