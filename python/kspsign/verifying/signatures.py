"""The checks of one signature of a file: structure, digest, signature, chain, timestamp, each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from typing import TYPE_CHECKING

from cryptography import x509

from kspsign.authenticode.certificates import certificate, common_name, common_name_of, subject_of
from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.signable import SignableFile
from kspsign.authenticode.signature import content_fault, signer_fault
from kspsign.authenticode.timestamp import Timestamp, read_counter_signature, read_token
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding, SignatureFacts, TimestampFacts, iso_utc
from kspsign.verifying.chain import ChainResult, Purpose, validate_chain
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import STRONG, Strength
from kspsign.verifying.surplus import attributes_finding, certificates_finding

if TYPE_CHECKING:
    from kspsign.verifying.revocation import Revocation

CLOCK_SKEW = timedelta(minutes=5)
CHAIN_CHECKS = ("certificate-chain", "certificate-validity", "extended-key-usage", "key-usage")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust for signatures and for timestamps, whether a timestamp must be there, and what is strong enough."""

    signers: TrustAnchors
    authorities: TrustAnchors
    timestamp_required: bool
    strength: Strength = STRONG


@dataclass(frozen=True, slots=True)
class ExaminedSignature:
    """A signature with every check of it. `stamp` is None when there is none that can be read.

    `path` is the signer's chain, `authority_path` the timestamp authority's, leaf first, as far as they were found.
    """

    signature: FileSignature
    findings: tuple[Finding, ...]
    stamp: Timestamp | None
    path: tuple[x509.Certificate, ...]
    authority_path: tuple[x509.Certificate, ...]

    @property
    def facts(self) -> SignatureFacts:
        """What the report says of it."""
        return _facts(self.signature, self.stamp)


def examine_signature(
    signature: FileSignature,
    file: SignableFile,
    digests: dict[DigestAlgorithm, bytes],
    trust: Trust,
    revocation: Revocation | None = None,
) -> ExaminedSignature:
    """Every check of `signature` over `file`, whose digests are `digests`; revocation is asked for when given."""
    stamped = _timestamp(signature, trust, revocation)
    moment = stamped.time or datetime.now(UTC)
    chain = _chain(signature, trust, moment, stamped=stamped.time is not None)
    findings = (
        _structure(signature, file.content_kinds),
        attributes_finding(signature, file.profile.token_attribute),
        _algorithm("algorithms", trust.strength, signature.algorithm, signature.message.signer.digest),
        _digest(signature, digests),
        _content(signature),
        _signature(signature),
        *chain.findings,
        *_embedded(signature, chain, stamped, trust),
        *_revocation(chain, revocation, Purpose.CODE_SIGNING, stamped.time),
        *stamped.findings,
    )
    return ExaminedSignature(signature, findings, stamped.stamp, chain.path, stamped.path)


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain's checks, and its path when all of them passed or else what was found of it."""

    findings: tuple[Finding, ...] = ()
    path: tuple[x509.Certificate, ...] = ()

    @property
    def holds(self) -> bool:
        return bool(self.path) and all(finding.hresult is None for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Stamped:
    """A timestamp's checks; `time` is None unless all of them passed."""

    findings: tuple[Finding, ...]
    stamp: Timestamp | None = None
    path: tuple[x509.Certificate, ...] = ()

    @property
    def time(self) -> datetime | None:
        holds = all(finding.hresult is None for finding in self.findings)
        return self.stamp.time if self.stamp is not None and holds else None


def _structure(signature: FileSignature, content_kinds: frozenset[str]) -> Finding:
    fault = signature.fault
    if fault is None and signature.kind not in content_kinds:
        fault = f"it speaks of another format ({signature.kind})"
    return _finding("cms-structure", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE, "well-formed, one signer")


def _algorithm(check: str, strength: Strength, *digests: DigestAlgorithm | None) -> Finding:
    used = dict.fromkeys(digest.value if digest else "an unknown digest" for digest in digests)
    weak = [digest for digest in used if digest not in strength.digests]
    fault = f"{', '.join(weak)} is not strong enough" if weak else None
    return _finding(check, fault, Hresult.NTE_BAD_ALGID, ", ".join(used))


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


def _chain(signature: FileSignature, trust: Trust, moment: datetime, *, stamped: bool) -> _Chain:
    if signature.certificate is None:
        return _Chain()
    result = validate_chain(
        *(signature.certificate, signature.message.certificates, trust.signers),
        *(Purpose.CODE_SIGNING, moment, trust.strength),
    )
    when = f"at {iso_utc(moment)}" + (" (timestamp)" if stamped else " (now, no valid timestamp)")
    return _Chain(tuple(_chain_findings(result, "", when)), result.path)


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


def _embedded(signature: FileSignature, chain: _Chain, stamped: _Stamped, trust: Trust) -> Iterator[Finding]:
    """Judged by chains that hold: whoever's chain does not hold has nothing that belongs to it."""
    if not chain.holds or (stamped.stamp is not None and stamped.time is None):
        return
    embedded = signature.message.certificates
    beside = stamped.path if signature.counter_signatures else ()
    # A countersigner shares the set with whom it countersigns, and both stand with their own chains.
    shared = (certificate(each) for each in signature.sharing)
    found = certificates_finding(embedded, (*chain.path, *beside, *shared), trust.authorities)
    if stamped.stamp is not None and not signature.counter_signatures and found.hresult is None:
        found = certificates_finding(stamped.stamp.certificates, stamped.path, trust.authorities)
    yield found


def _revocation(
    chain: _Chain, revocation: Revocation | None, purpose: Purpose, stamped: datetime | None
) -> Iterator[Finding]:
    """Asked of chains that hold only: nobody is sent to an address that an untrusted certificate names."""
    if revocation is not None and chain.holds:
        yield revocation.finding(chain.path, purpose, stamped)


def _timestamp(signature: FileSignature, trust: Trust, revocation: Revocation | None) -> _Stamped:
    try:
        stamp = _read_timestamp(signature)
    except TrustError as fault:
        return _Stamped((Finding("timestamp", fault.message, Hresult.TRUST_E_TIME_STAMP),))
    if stamp is None:
        if trust.timestamp_required:
            detail = "there is none: the signature ends with the certificate"
            return _Stamped((Finding("timestamp", detail, Hresult.TRUST_E_TIME_STAMP),))
        return _Stamped((Finding("timestamp", "none, and none is asked for"),))
    chain = _authority_chain(stamp, trust)
    findings = (
        Finding("timestamp", iso_utc(stamp.time)),
        *stamp.findings,
        _algorithm("timestamp-algorithms", trust.strength, stamp.digest),
        _time(stamp),
        *chain.findings,
        *_revocation(chain, revocation, Purpose.TIMESTAMPING, stamp.time),
    )
    return _Stamped(findings, stamp, chain.path)


def _authority_chain(stamp: Timestamp, trust: Trust) -> _Chain:
    if stamp.signer is None:
        return _Chain()
    result = validate_chain(
        *(stamp.signer, stamp.certificates, trust.authorities),
        *(Purpose.TIMESTAMPING, stamp.time, trust.strength),
    )
    return _Chain(tuple(_chain_findings(result, "timestamp-", f"at {iso_utc(stamp.time)}")), result.path)


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
