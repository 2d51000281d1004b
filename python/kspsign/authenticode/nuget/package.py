"""A NuGet package as a signable file. Streams: memory does not grow with it.

The signature is the archive's last entry, .signature.p7s, stored; its digest is that of the archive without it. A
package has one signature: the author's, which a repository may countersign, or else a repository's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NoReturn

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.profile import CmsProfile
from kspsign.authenticode.io.read import in_parallel
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.nuget.profile import NUGET, author_fault, commitments, repository_of, signature_content
from kspsign.authenticode.nuget.rules import (
    SIGNATURE,
    archive_violation,
    certificate_violation,
    signature_violation,
)
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse, OneDigest, nth
from kspsign.authenticode.zip import Archive, Plan, Scan, ZipMember, archive_of, entry_names, read_signature_entry
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_SUFFIXES = frozenset({".nupkg", ".snupkg"})
_EXTERNAL_ATTRIBUTES = slice(38, 42)  # of a central directory record


def is_nuget(glimpse: Glimpse) -> bool:
    """Whether the content is a NuGet package, whole or cut off: an archive with a .nuspec at its root."""
    names = entry_names(glimpse)
    if names is None:
        return glimpse.path.suffix.lower() in _SUFFIXES
    return any(name.lower().endswith(".nuspec") and "/" not in name for name in names)


@dataclass(frozen=True, slots=True)
class NugetFile(OneDigest):
    """A NuGet package whose archive was read and checked; see SignableFile."""

    archive: Archive = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> NugetFile:
        """Read the structure; raises ArtifactError when it contradicts itself."""
        archive = archive_of(snapshot)
        entry = archive.find(SIGNATURE)
        if entry is None:
            return cls(archive, ())
        with snapshot.open() as file:
            content, fault = read_signature_entry(file, archive, entry)
        if fault is None and (entry.flags or entry.method or any(entry.record[_EXTERNAL_ATTRIBUTES])):
            fault = "it is not stored, as NuGet wants it"
        if fault is not None:
            raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, f"{SIGNATURE} is not a plain entry: {fault}")
        return cls(archive, (content,))

    @property
    def snapshot(self) -> Snapshot:
        """The file, as it is read."""
        return self.archive.snapshot

    @property
    def profile(self) -> CmsProfile:
        """That of NuGet."""
        return NUGET

    @property
    def unsigned(self) -> Plan:
        """The archive that a signature covers: without one."""
        return Plan(self.archive, tuple(entry for entry in self.archive.entries if entry.name != SIGNATURE))

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError for what NuGet would refuse: a further signature, Zip64, too many files, and
        certificates that it does not accept."""
        if terms.append and self.signatures:
            _refuse("it is signed already, and a NuGet package has one author's signature", "Choose --replace.")
        for violation in (
            archive_violation(self.archive),
            certificate_violation(parse_certificate(terms.chain[0])),
        ):
            if violation is not None:
                _refuse(*violation)

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the archive without its signature, and unpack every entry on the way."""
        plan, scan = self.unsigned, Scan(self.archive)
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        with in_parallel(self.snapshot.size, self.snapshot.sha256) as whole, self.snapshot.open() as file:
            for entry, raw, _ in scan.pieces(file):
                if entry is not None and entry.name != SIGNATURE:
                    for hasher in hashers.values():
                        hasher.update(raw)
            tail = plan.tail()
            for hasher in hashers.values():
                hasher.update(tail)
            values = {algorithm: hasher.digest() for algorithm, hasher in hashers.items()}
            return Digest(values, whole(), findings=(scan.finding(),))

    def structure(self, digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "signature-type", "signer-attributes" and "nuget-rules" of each signature, "signature-entry" and
        "package-content"."""
        return (*self._findings(signatures), *digest.findings)

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """The text with the package's digest; raises ArtifactError when an entry can't be unpacked."""
        for finding in digest.findings:
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, finding.detail)
        return signature_content(terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the package with the first of `signatures` as its last entry to `target`; without any it has none."""
        added = tuple(ZipMember(SIGNATURE, signature) for signature in signatures[:1])
        replace(self.unsigned, added=added).write(target)

    def _findings(self, signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
        for index, signature in enumerate(signatures):
            yield nth(index, _type_finding(signature))
            yield nth(index, _attributes_finding(signature))
            yield nth(index, _rules_finding(signature))
        violation = archive_violation(self.archive)
        if signatures and violation is not None:
            yield Finding("signature-entry", violation.cause, Hresult.ERROR_NOT_SUPPORTED, violation.remedy)
        elif signatures:
            yield Finding("signature-entry", "stored, the last of all")


def _type_finding(signature: CmsSignature) -> Finding:
    """The check "signature-type": an author's, or a repository's. Only a repository countersigns, and only authors."""
    countersigns = not signature.message.content_type
    try:
        who, where = commitments(signature), repository_of(signature)
    except TrustError as broken:
        return Finding("signature-type", broken.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
    if who == {"author"} and not countersigns:
        return Finding("signature-type", "the author's")
    if who == {"repository"} and where and not signature.countersigners:
        alone = "" if countersigns else "; the package has no author's signature"
        return Finding("signature-type", f"the repository's ({where}){alone}")
    stated = " and ".join(sorted(who)) or "neither author nor repository"
    place = "a counter-signature" if countersigns else "a package's signature"
    return Finding("signature-type", f"{stated} is not a signer of {place}", Hresult.TRUST_E_MALFORMED_SIGNATURE)


def _attributes_finding(signature: CmsSignature) -> Finding:
    try:
        fault = author_fault(signature)
    except TrustError as broken:
        fault = broken.message
    if fault is not None:
        return Finding("signer-attributes", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE)
    return Finding("signer-attributes", "name the certificate and the signing time")


def _rules_finding(signature: CmsSignature) -> Finding:
    """The check "nuget-rules": what NuGet asks of certificate and timestamp beyond what Windows does."""
    try:
        violation = signature_violation(signature)
    except TrustError as fault:
        return Finding("nuget-rules", fault.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
    if violation is not None:
        return Finding("nuget-rules", violation.cause, Hresult.ERROR_NOT_SUPPORTED, violation.remedy)
    return Finding("nuget-rules", "certificate and timestamp meet NuGet's requirements")


def _refuse(what: str, remedy: str) -> NoReturn:
    raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, what, remedy=remedy)
