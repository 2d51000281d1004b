"""The strict verifier: one file in, one verdict with every check by name out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kspsign.authenticode.file_signature import FileSignature, nth, read_signature
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.page_hashes import page_algorithms
from kspsign.authenticode.signable import SignableFile
from kspsign.errors import ArtifactError, TrustError
from kspsign.hresults import Hresult
from kspsign.model import (
    Check,
    ErrorFacts,
    Finding,
    Format,
    SignatureFacts,
    SyncedCertificate,
    Verdict,
    Verification,
)
from kspsign.settings import Settings
from kspsign.verifying.chain import Purpose, validate_chain
from kspsign.verifying.roots import TrustAnchors, combined, default_anchors
from kspsign.verifying.second_opinion import SecondOpinion
from kspsign.verifying.signatures import Trust, signature_findings

MAX_NESTED = 16


class Verifier:
    """Verifies files against `trust`; safe to share between threads."""

    def __init__(self, trust: Trust, second: SecondOpinion | None = None) -> None:
        self._trust = trust
        self._second = second

    def verify(self, path: Path, kind: Format | None) -> Verification:
        """The verdict on the file at `path`; never raises for what the file holds.

        OSError passes through: a file that can't be read is no statement about its signature.
        """
        try:
            file = open_signable(path, kind)
        except ArtifactError as damaged:
            finding = Finding("structure", damaged.message, damaged.hresult or Hresult.ERROR_BAD_FORMAT)
            concluded = _conclude((finding,), (), "")
            return replace(concluded, error=concluded.error and replace(concluded.error, remedy=damaged.remedy))
        signatures, parse_findings = _read_all(file)
        digest = file.digest({signature.algorithm for signature in signatures}, page_algorithms(signatures))
        if not file.signatures:
            unsigned = Finding("signed", "the file carries no signature", Hresult.TRUST_E_NOSIGNATURE)
            return _conclude((unsigned, *_faults(file.structure(digest, ()))), (), digest.sha256)
        findings = [Finding("signed", f"{len(signatures)} signature(s)"), *parse_findings]
        facts: list[SignatureFacts] = []
        for index, signature in enumerate(signatures):
            found, fact = signature_findings(signature, file.content_kinds, digest.values, self._trust)
            findings += (nth(index, each) for each in found)
            facts.append(fact)
        findings += file.structure(digest, signatures)
        if self._second is not None:
            findings += self._second.findings(path, ours=next(_faults(findings), None) is None)
        return _conclude(tuple(findings), tuple(facts), digest.sha256)

    def check_certificate(self, certificate: SyncedCertificate) -> None:
        """Raise TrustError when `certificate` could not give a signature that verifies: no signature is spent then."""
        leaf, *others = certificate.chain
        result = validate_chain(leaf, others, self._trust.signers, Purpose.CODE_SIGNING, datetime.now(UTC))
        for fault in result.faults:
            raise TrustError(fault.hresult, fault.detail, check=fault.check)


def open_verifier(
    settings: Settings, certificate: SyncedCertificate | None, second: SecondOpinion | None = None
) -> Verifier:
    """A verifier for these settings; with `second`, SignTool's checks stand in each verdict too.

    Signers are trusted under --trust-root when given, else under the throw-away root of test signing when
    `certificate` is one, else under the Microsoft root program. Timestamp authorities are trusted under those and
    the Microsoft root program: an in-house CA rarely runs its own.
    """
    if settings.trust_root:
        signers = TrustAnchors.from_pem_files(settings.trust_root)
    elif certificate is not None and certificate.test_signing:
        signers = TrustAnchors.from_certificates(certificate.chain[-1:])
        return Verifier(Trust(signers, signers, timestamp_required=not settings.no_timestamp), second)
    else:
        signers = default_anchors()
    return Verifier(Trust(signers, combined(signers, default_anchors()), not settings.no_timestamp), second)


def _read_all(file: SignableFile) -> tuple[tuple[FileSignature, ...], tuple[Finding, ...]]:
    """Every signature, with countersigner and nested ones behind it, and a finding for each that can't be read."""
    read: list[FileSignature] = []
    findings: list[Finding] = []
    waiting = list(file.signatures)
    while waiting:
        if len(read) + len(findings) >= MAX_NESTED:
            findings.append(Finding("cms-structure", "too many signatures", Hresult.TRUST_E_MALFORMED_SIGNATURE))
            break
        try:
            signature = read_signature(waiting.pop(0), file.profile)
        except TrustError as fault:
            hresult = fault.hresult or Hresult.TRUST_E_MALFORMED_SIGNATURE
            findings.append(Finding(fault.check, fault.message, hresult))
            continue
        read += (signature, *signature.countersigners)
        waiting[:0] = signature.nested
    return tuple(read), tuple(findings)


def _faults(findings: Iterable[Finding]) -> Iterator[Finding]:
    return (finding for finding in findings if finding.hresult is not None)


def _conclude(findings: tuple[Finding, ...], signatures: tuple[SignatureFacts, ...], sha256: str) -> Verification:
    """The verdict: every check must hold. The first that does not gives the error, in Windows' terms."""
    checks = tuple(Check(each.check, each.hresult is None, each.detail) for each in findings)
    failed = next(_faults(findings), None)
    if failed is None or failed.hresult is None:
        return Verification(Verdict("verified", checks), signatures, sha256, None)
    error = ErrorFacts(
        code=failed.hresult.name,
        hresult=failed.hresult.hex,
        message=f"{failed.hresult.meaning} ({failed.check}: {failed.detail})",
        remedy=failed.hresult.remedy,
    )
    return Verification(Verdict("failed", checks), signatures, sha256, error)
