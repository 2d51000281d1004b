"""The checks of a signature's timestamp, each by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from kspsign.authenticode.cms.timestamp import Timestamp, read_counter_signature, read_token
from kspsign.authenticode.profile import FileSignature
from kspsign.certificates.parse import CHAIN_CHECK
from kspsign.certificates.validity import CLOCK_SKEW
from kspsign.model.checks import CheckName
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding, iso_utc
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.chain_checks import (
    CHAIN_CHECKS,
    JudgedChain,
    Trust,
    algorithm_finding,
    chain_findings,
    finding,
    revocation_findings,
)
from kspsign.verifying.unsigned_data import certificates_finding

if TYPE_CHECKING:
    from kspsign.verifying.revocation import Revocation

_ADD_ONE = (
    "Add one while the certificate is valid: kspsign timestamp FILE. It costs no signature and does not change what is "
    "signed."
)
_ANOTHER = "sign again with a timestamp of another server (--timestamp-url)."
_CHAIN_REMEDIES: Final[Mapping[CheckName, str]] = {
    **dict.fromkeys(CHAIN_CHECKS[CertificatePurpose.TIMESTAMPING], _ANOTHER.capitalize()),
    CHAIN_CHECK: f"Pass the root of the timestamp authority with --trust-root if you trust it; else {_ANOTHER}",
}


class Stamped(NamedTuple):
    """A timestamp's checks; `time` is None unless all of them passed."""

    findings: tuple[Finding, ...]
    stamp: Timestamp | None = None
    path: tuple[x509.Certificate, ...] = ()
    is_there: bool = True

    @property
    def is_refused(self) -> bool:
        """Whether there is a timestamp that does not count."""
        return self.is_there and any(found.hresult is not None for found in self.findings)

    @property
    def time(self) -> datetime | None:
        """When the signature was made, if that is proved."""
        holds = all(found.hresult is None for found in self.findings)
        return self.stamp.time if self.stamp is not None and holds else None


def examine_timestamp(signature: FileSignature, trust: Trust, revocation: Revocation | None) -> Stamped:
    """Every check of the timestamp of `signature`; that there is none is one, too."""
    try:
        stamp = _read_timestamp(signature)
    except TrustError as fault:
        return Stamped((Finding("timestamp", fault.message, Hresult.TRUST_E_TIME_STAMP),))
    if stamp is None:
        if trust.timestamp_required:
            detail = "there is none: the signature ends with the certificate"
            return Stamped((Finding("timestamp", detail, Hresult.TRUST_E_TIME_STAMP, _ADD_ONE),), is_there=False)
        return Stamped((Finding("timestamp", "none, and none is asked for"),), is_there=False)
    return _judge(stamp, trust, revocation)


def judge_token(token: bytes, value: bytes, trust: Trust, revocation: Revocation | None = None) -> Stamped:
    """Every check of the RFC 3161 token (DER) over the signature `value`, as if it were in a file already: what its
    server's certificate is trusted for under `trust`, and that it brings nothing but its own chain."""
    try:
        stamped = _judge(read_token(token, value), trust, revocation)
        if stamped.time is None or stamped.stamp is None:
            return stamped
        surplus = certificates_finding(stamped.stamp.certificates, stamped.path, trust.authorities)
    except TrustError as fault:
        return Stamped((Finding("timestamp", fault.message, Hresult.TRUST_E_TIME_STAMP),))
    return stamped._replace(findings=(*stamped.findings, surplus))


def _judge(stamp: Timestamp, trust: Trust, revocation: Revocation | None) -> Stamped:
    chain = _authority_chain(stamp, trust)
    findings = (
        Finding("timestamp", iso_utc(stamp.time)),
        *stamp.findings,
        _algorithms(stamp, trust),
        _time(stamp),
        *chain.findings,
        *revocation_findings(chain, revocation, CertificatePurpose.TIMESTAMPING, stamp.time),
    )
    return Stamped(findings, stamp, chain.path)


def _algorithms(stamp: Timestamp, trust: Trust) -> Finding:
    """That of the imprint, and what the token itself is signed over."""
    algorithms = stamp.digest_algorithm, stamp.signer_digest_algorithm
    found = algorithm_finding("timestamp-algorithms", trust.strength, *algorithms)
    return found if found.hresult is None else replace(found, remedy=_ANOTHER.capitalize())


def _authority_chain(stamp: Timestamp, trust: Trust) -> JudgedChain:
    if stamp.signer is None:
        return JudgedChain()
    result = validate_chain(
        *(stamp.signer, stamp.certificates, trust.authorities),
        *(CertificatePurpose.TIMESTAMPING, stamp.time, trust.strength),
    )
    findings = chain_findings(result, CertificatePurpose.TIMESTAMPING, f"at {iso_utc(stamp.time)}", _CHAIN_REMEDIES)
    return JudgedChain(tuple(findings), result.path)


def _read_timestamp(signature: FileSignature) -> Timestamp | None:
    value = signature.value
    if len(signature.tokens) + len(signature.counter_signatures) > 1:
        raise TrustError(Hresult.TRUST_E_TIME_STAMP, "there are several timestamps", check="timestamp")
    for token in signature.tokens:
        return read_token(token, value)
    for counter_signature in signature.counter_signatures:
        return read_counter_signature(counter_signature, value, signature.certificates)
    return None


def _time(stamp: Timestamp) -> Finding:
    fault = "it lies in the future" if stamp.time > datetime.now(UTC) + CLOCK_SKEW else None
    return finding("timestamp-time", fault, Hresult.TRUST_E_TIME_STAMP, "in the past")
