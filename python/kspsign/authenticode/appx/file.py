"""A package or bundle as a signable file. Streams: memory does not grow with it.

The signature is the archive's last entry, AppxSignature.p7x ("PKCX" and a DER CMS). What it covers are digests, each
after its tag: AXPC of all bytes before the signature's entry, AXCD of the central directory as it is without the
signature, AXCT, AXBM and AXCI of what [Content_Types].xml, the block map and CodeIntegrity.cat unpack to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from kspsign.authenticode.appx import checks
from kspsign.authenticode.appx.digests import hash_package
from kspsign.authenticode.appx.inside_out import rebuild
from kspsign.authenticode.appx.names import BLOCK_MAP, BUNDLE_MANIFEST, CONTENT_TYPES, MANIFEST, SIGNATURE
from kspsign.authenticode.appx.package import SIGNATURE_MAGIC, Package, read_package
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_SIP_INFO
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import sip_findings, sip_indirect_data
from kspsign.authenticode.io.read import in_parallel
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse, InnerFile, OneDigest
from kspsign.authenticode.zip import ZipMember, entry_names
from kspsign.model.errors import ArtifactError
from kspsign.model.values import DigestAlgorithm, Finding

_SIP_VERSION = 0x01010000
PROFILE = AUTHENTICODE.covering(OID_SPC_SIP_INFO)
_SIP = bytes.fromhex("4bdfc50a07cee24db76e23c839a09fd1")
_BUNDLE_SIP = bytes.fromhex("b3585f0fdeaa9a4ba43495742d92eceb")
_NUGET_SUFFIXES = frozenset({".nupkg", ".snupkg"})
_SUFFIXES, _BUNDLE_SUFFIXES = frozenset({".appx", ".msix"}), frozenset({".appxbundle", ".msixbundle"})


def is_appx(glimpse: Glimpse) -> bool:
    """Whether the content is a package, whole or cut off. A file that NuGet takes by its name is NuGet's."""
    names = entry_names(glimpse)
    if glimpse.path.suffix.lower() in _NUGET_SUFFIXES:
        return False
    if names is None:
        return glimpse.path.suffix.lower() in _SUFFIXES
    return MANIFEST in names and BUNDLE_MANIFEST not in names and bool(names & {BLOCK_MAP, CONTENT_TYPES})


def is_appx_bundle(glimpse: Glimpse) -> bool:
    """Whether the content is a bundle of packages, whole or cut off."""
    suffix, names = glimpse.path.suffix.lower(), entry_names(glimpse)
    if names is None or suffix in _NUGET_SUFFIXES:
        return suffix in _BUNDLE_SUFFIXES
    return BUNDLE_MANIFEST in names


@dataclass(frozen=True, slots=True)
class AppxFile(OneDigest):
    """A package or bundle whose structure was read and checked; see SignableFile."""

    package: Package = field(repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> AppxFile:
        """Read the structure; raises ArtifactError when it contradicts itself."""
        return cls(read_package(snapshot))

    @property
    def snapshot(self) -> Snapshot:
        """The file, as it is read."""
        return self.package.snapshot

    @property
    def profile(self) -> CmsProfile:
        """Authenticode."""
        return PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The CMS of AppxSignature.p7x."""
        return self.package.signatures

    @property
    def sip(self) -> bytes:
        """The GUID of the SIP that Windows has for packages, or for bundles."""
        return _BUNDLE_SIP if self.package.bundle else _SIP

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the block map has another digest algorithm, the publisher is another than the
        certificate's subject, an inner package is signed by another one, or block map or content types are wrong: of
        the file, and of the packages inside that are to be signed."""
        checks.admit(self.package, terms)

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the package as it is to be signed, and compare its files with the block map on the way."""
        with in_parallel(self.snapshot.size, self.snapshot.sha256) as whole:
            values, findings, inner = hash_package(self.package, algorithms)
            found = tuple(Digest(inner_digest.values, "", findings=inner_digest.findings) for inner_digest in inner)
            return Digest(values, whole(), findings=findings, inner=found)

    @property
    def has_inner_files(self) -> bool:
        """Whether it is a bundle with packages inside."""
        return bool(self.package.inner)

    def inner_files(self, digest: Digest) -> tuple[InnerFile, ...]:
        """The packages in a bundle."""
        names = (stated.name for stated in self.package.manifest.packages)
        inner = zip(names, self.package.inner, digest.inner, strict=True)
        return tuple(InnerFile(name, AppxFile(package), found) for name, package, found in inner)

    def unsigned_inner(self) -> tuple[int, ...]:
        """The packages of a bundle that carry no signature."""
        return tuple(number for number, inner in enumerate(self.package.inner) if not inner.signatures)

    def rebuild(self, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
        """The bundle with signed packages; see inside_out."""
        rebuild(self.package, signatures, target)

    def structure(self, digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "sip", "package-parts", "hash-method", "publisher", "content-types", "package-content",
        "block-map" and, of a bundle, "bundle-manifest", "inner-packages" and "inner-content"."""
        sips = sip_findings(signatures, self.sip)
        return (*sips, *checks.findings(self.package, digest, signatures), *digest.findings)

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent that names the SIP of packages or bundles; raises ArtifactError when the content
        is not what the block map has: no signature may be spent on it."""
        for finding in digest.findings:
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, f"{finding.name}: {finding.detail}")
        return sip_indirect_data(_SIP_VERSION, self.sip, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the package with the first of `signatures` as its last entry to `target`; without any it has none, and
        keeps the signature's content type, which the digest covers."""
        unsigned = self.package.unsigned
        added = tuple(ZipMember(SIGNATURE, SIGNATURE_MAGIC + signature) for signature in signatures[:1])
        replace(unsigned, added=(*unsigned.added, *added)).write(target)
