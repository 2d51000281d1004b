"""The checks of one signature of a file: structure, digest, signature, chain, timestamp, each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from kspsign.authenticode.certificates import common_name, common_name_of, subject_of
from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.signature import content_fault, signer_fault
from kspsign.authenticode.timestamp import Timestamp, read_counter_signature, read_token
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding, SignatureFacts, TimestampFacts, iso_utc
from kspsign.verifying.chain import ChainResult, Purpose, validate_chain
from kspsign.verifying.roots import TrustAnchors

CLOCK_SKEW = timedelta(minutes=5)
CHAIN_CHECKS = ("certificate-chain", "certificate-validity", "extended-key-usage", "key-usage")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust for signatures and for timestamps, and whether a timestamp must be there."""

    signers: TrustAnchors
    authorities: TrustAnchors
    timestamp_required: bool


def signature_findings(
    signature: FileSignature, content_kinds: frozenset[str], digests: dict[DigestAlgorithm, bytes], trust: Trust
) -> tuple[tuple[Finding, ...], SignatureFacts]:
    """Every check of `signature` over a file whose digests are `digests`, and what the report says of it."""
    stamp_findings, stamp = _timestamp(signature, trust)
    stamp_holds = stamp is not None and all(finding.hresult is None for finding in stamp_findings)
    moment = stamp.time if stamp is not None and stamp_holds else datetime.now(UTC)
    findings = (
        _structure(signature, content_kinds),
        _algorithm(signature),
        _digest(signature, digests),
        _content(signature),
        _signature(signature),
        *_chain(signature, trust.signers, moment, stamped=stamp_holds),
        *stamp_findings,
    )
    return findings, _facts(signature, stamp)


def _structure(signature: FileSignature, content_kinds: frozenset[str]) -> Finding:
    fault = signature.fault
    if fault is None and signature.kind not in content_kinds:
        fault = f"it speaks of another format ({signature.kind})"
    return _finding("cms-structure", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE, "well-formed, one signer")


def _algorithm(signature: FileSignature) -> Finding:
    weak = DigestAlgorithm.SHA1 in {signature.algorithm, signature.message.signer.digest}
    return _finding("algorithms", "SHA-1 is broken" if weak else None, Hresult.NTE_BAD_ALGID, signature.algorithm.value)


def _digest(signature: FileSignature, digests: dict[DigestAlgorithm, bytes]) -> Finding:
    actual = digests[signature.algorithm]
    fault = None if actual == signature.digest else f"signed {signature.digest.hex()}, the file has {actual.hex()}"
    return _finding("digest", fault, Hresult.TRUST_E_BAD_DIGEST, actual.hex())


def _content(signature: FileSignature) -> Finding:
    fault = content_fault(signature.message)
    return _finding("signed-attributes", fault, Hresult.TRUST_E_CERT_SIGNATURE, "cover the digest")


def _signature(signature: FileSignature) -> Finding:
    fault = signer_fault(signature.message.signer, signature.certificate)
    missing = signature.certificate is None
    hresult = Hresult.TRUST_E_NO_SIGNER_CERT if missing else Hresult.TRUST_E_CERT_SIGNATURE
    return _finding("signature", fault, hresult, "made with the certificate's key")


def _chain(signature: FileSignature, anchors: TrustAnchors, moment: datetime, *, stamped: bool) -> Iterator[Finding]:
    if signature.certificate is None:
        return
    result = validate_chain(
        signature.certificate, signature.message.certificates, anchors, Purpose.CODE_SIGNING, moment
    )
    when = f"at {iso_utc(moment)}" + (" (timestamp)" if stamped else " (now, no valid timestamp)")
    yield from _chain_findings(result, "", when)


def _chain_findings(result: ChainResult, prefix: str, when: str) -> Iterator[Finding]:
    passed = {
        "certificate-chain": " < ".join(common_name(each.subject) for each in result.path),
        "certificate-validity": when,
        "extended-key-usage": "allows it",
        "key-usage": "allows it",
    }
    for check in CHAIN_CHECKS:
        fault = next((each for each in result.faults if each.check == check), None)
        if fault is None:
            yield Finding(prefix + check, passed[check])
        else:
            yield Finding(prefix + check, fault.detail, fault.hresult)


def _timestamp(signature: FileSignature, trust: Trust) -> tuple[tuple[Finding, ...], Timestamp | None]:
    try:
        stamp = _read_timestamp(signature)
    except TrustError as fault:
        return (Finding("timestamp", fault.message, Hresult.TRUST_E_TIME_STAMP),), None
    if stamp is None:
        if trust.timestamp_required:
            detail = "there is none: the signature ends with the certificate"
            return (Finding("timestamp", detail, Hresult.TRUST_E_TIME_STAMP),), None
        return (Finding("timestamp", "none, and none is asked for"),), None
    findings = [Finding("timestamp", iso_utc(stamp.time)), *stamp.findings, _time(stamp)]
    if stamp.signer is not None:
        result = validate_chain(stamp.signer, stamp.certificates, trust.authorities, Purpose.TIMESTAMPING, stamp.time)
        findings += _chain_findings(result, "timestamp-", f"at {iso_utc(stamp.time)}")
    return tuple(findings), stamp


def _read_timestamp(signature: FileSignature) -> Timestamp | None:
    value = signature.message.signer.value
    if len(signature.tokens) + len(signature.counter_signatures) > 1:
        raise TrustError(Hresult.TRUST_E_TIME_STAMP, "there are several timestamps", check="timestamp")
    for token in signature.tokens:
        return read_token(token, value)
    for counter_signature in signature.counter_signatures:
        return read_counter_signature(counter_signature, value, signature.message.certificates)
    return None


def _time(stamp: Timestamp) -> Finding:
    fault = "it lies in the future" if stamp.time > datetime.now(UTC) + CLOCK_SKEW else None
    return _finding("timestamp-time", fault, Hresult.TRUST_E_TIME_STAMP, "in the past")


def _facts(signature: FileSignature, stamp: Timestamp | None) -> SignatureFacts:
    stamped = None
    if stamp is not None:
        stamped = TimestampFacts(iso_utc(stamp.time), _named(common_name_of, stamp.signer), stamp.digest.value)
    certificate = signature.certificate
    return SignatureFacts(
        thumbprint=sha1(certificate, usedforsecurity=False).hexdigest().upper() if certificate else "",
        subject=_named(subject_of, certificate),
        digest=signature.algorithm.value,
        timestamp=stamped,
    )


def _named(name: Callable[[bytes | None], str], certificate: bytes | None) -> str:
    try:
        return name(certificate)
    except TrustError:
        return "unknown"  # the chain's findings say what is wrong with the certificate


def _finding(check: str, fault: str | None, hresult: Hresult, passed: str) -> Finding:
    return Finding(check, passed) if fault is None else Finding(check, fault, hresult)
