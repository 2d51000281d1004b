"""The checks of a signature's timestamp, each by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from kspsign.authenticode.cms.timestamp import Timestamp, read_counter_signature, read_token
from kspsign.authenticode.profile import FileSignature
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding, iso_utc
from kspsign.verifying.chain import Purpose, validate_chain
from kspsign.verifying.chain_checks import (
    JudgedChain,
    Trust,
    algorithm_finding,
    chain_findings,
    finding,
    revocation_findings,
)

if TYPE_CHECKING:
    from kspsign.verifying.revocation import Revocation

CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A timestamp's checks; `time` is None unless all of them passed."""

    findings: tuple[Finding, ...]
    stamp: Timestamp | None = None
    path: tuple[x509.Certificate, ...] = ()

    @property
    def time(self) -> datetime | None:
        """When the signature was made, if that is proved."""
        holds = all(each.hresult is None for each in self.findings)
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
            return Stamped((Finding("timestamp", detail, Hresult.TRUST_E_TIME_STAMP),))
        return Stamped((Finding("timestamp", "none, and none is asked for"),))
    chain = _authority_chain(stamp, trust)
    findings = (
        Finding("timestamp", iso_utc(stamp.time)),
        *stamp.findings,
        algorithm_finding("timestamp-algorithms", trust.strength, stamp.digest_algorithm),
        _time(stamp),
        *chain.findings,
        *revocation_findings(chain, revocation, Purpose.TIMESTAMPING, stamp.time),
    )
    return Stamped(findings, stamp, chain.path)


def _authority_chain(stamp: Timestamp, trust: Trust) -> JudgedChain:
    if stamp.signer is None:
        return JudgedChain()
    result = validate_chain(
        *(stamp.signer, stamp.certificates, trust.authorities),
        *(Purpose.TIMESTAMPING, stamp.time, trust.strength),
    )
    return JudgedChain(tuple(chain_findings(result, Purpose.TIMESTAMPING, f"at {iso_utc(stamp.time)}")), result.path)


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
