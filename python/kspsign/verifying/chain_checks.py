"""What the checks of signatures and timestamps share: trust settings and the findings about a chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice, zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from kspsign.certificates.parse import common_name, distinguished_name, thumbprint_of, to_der
from kspsign.model.checks import CheckName
from kspsign.model.hresults import Hresult
from kspsign.model.report import ChainCertificate, TrustFacts
from kspsign.model.values import DigestAlgorithm, Finding, RootFacts, iso_utc
from kspsign.verifying.chain import CertificatePurpose, ChainResult
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import STRONG, Strength

if TYPE_CHECKING:
    from kspsign.verifying.revocation import Revocation

CHAIN_CHECKS: Final[Mapping[CertificatePurpose, Mapping[CheckName, CheckName]]] = {
    CertificatePurpose.CODE_SIGNING: {
        "certificate-chain": "certificate-chain",
        "certificate-validity": "certificate-validity",
        "extended-key-usage": "extended-key-usage",
        "key-usage": "key-usage",
    },
    CertificatePurpose.TIMESTAMPING: {
        "certificate-chain": "timestamp-certificate-chain",
        "certificate-validity": "timestamp-certificate-validity",
        "extended-key-usage": "timestamp-extended-key-usage",
        "key-usage": "timestamp-key-usage",
    },
}
"""The checks of a chain, and what they are called where it is a signer's or a timestamp authority's."""


MOST_CERTIFICATES = 1000
"""Certificates that the report names: a service may use another one for every signature."""


class Trust(NamedTuple):
    """Whom to trust for signatures and for timestamps, whether a timestamp must be there, and what is strong enough.

    `program_date` is that of the root program's list where it counts.
    """

    signers: TrustAnchors
    authorities: TrustAnchors
    timestamp_required: bool
    strength: Strength = STRONG
    program_date: str | None = None

    @property
    def facts(self) -> TrustFacts:
        """What the report says of it before anything is judged."""
        named = tuple(facts for anchor in self.signers.named if (facts := root_facts(anchor)))
        return TrustFacts(named, program_date=self.program_date)


class JudgedChain(NamedTuple):
    """A chain's checks, and its path when all of them passed or else what was found of it."""

    findings: tuple[Finding, ...] = ()
    path: tuple[x509.Certificate, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there is a chain, and all checks passed."""
        return bool(self.path) and all(found.hresult is None for found in self.findings)


def chain_findings(
    result: ChainResult,
    purpose: CertificatePurpose,
    when: str,
    remedies: Mapping[CheckName, str] = MappingProxyType({}),
) -> Iterator[Finding]:
    """CHAIN_CHECKS of that purpose; `when` states the moment of judgement. `remedies` replace those of
    the faults, by the check's name in a signer's chain."""
    passed: dict[CheckName, str] = {
        "certificate-chain": " < ".join(common_name(certificate.subject) for certificate in result.path),
        "certificate-validity": when,
        "extended-key-usage": "allows it",
        "key-usage": "allows it",
    }
    for check, name in CHAIN_CHECKS[purpose].items():
        fault = next((candidate for candidate in result.faults if candidate.check == check), None)
        if fault is None:
            yield Finding(name, passed[check])
        else:
            detail = f"{fault.detail}, not {when}" if check == "certificate-validity" else fault.detail
            yield Finding(name, detail, fault.hresult, remedies.get(check, fault.remedy))


@lru_cache(maxsize=256)
def root_facts(root: x509.Certificate | None) -> RootFacts | None:
    """What the report says of a root; None for none."""
    return None if root is None else RootFacts(thumbprint_of(to_der(root)), distinguished_name(root.subject))


def chain_certificates(chains: Iterable[tuple[x509.Certificate, ...]]) -> tuple[ChainCertificate, ...]:
    """What the report says of the certificates of `chains` (leaf first), each once: at most MOST_CERTIFICATES."""
    found: dict[x509.Certificate, x509.Certificate | None] = {}
    for chain in chains:
        for certificate, issuer in zip_longest(chain, chain[1:]):
            found[certificate] = found.get(certificate) or issuer
    named = (_chain_certificate(*pair) for pair in islice(found.items(), MOST_CERTIFICATES))
    return tuple(sorted(named, key=lambda certificate: certificate.thumbprint))


def _chain_certificate(certificate: x509.Certificate, issuer: x509.Certificate | None) -> ChainCertificate:
    return ChainCertificate(
        thumbprint=thumbprint_of(to_der(certificate)),
        subject=distinguished_name(certificate.subject),
        issuer=None if issuer is None else thumbprint_of(to_der(issuer)),
        not_before=iso_utc(certificate.not_valid_before_utc),
        not_after=iso_utc(certificate.not_valid_after_utc),
    )


def revocation_findings(
    chain: JudgedChain, revocation: Revocation | None, purpose: CertificatePurpose, stamped: datetime | None
) -> Iterator[Finding]:
    """The check "revocation" where it is requested, and only for valid chains: no request goes to an address that an
    untrusted certificate names."""
    if revocation is not None and chain.holds:
        yield revocation.finding(chain.path, purpose, stamped)


def algorithm_finding(check: CheckName, strength: Strength, *digests: DigestAlgorithm | None) -> Finding:
    """The check of that name: whether each of `digests` is strong enough."""
    used = dict.fromkeys(digest.value if digest else "an unknown digest" for digest in digests)
    weak = [digest for digest in used if digest not in strength.digests]
    fault = f"{', '.join(weak)} is not strong enough" if weak else None
    return finding(check, fault, Hresult.NTE_BAD_ALGID, ", ".join(used))


def finding(check: CheckName, fault: str | None, hresult: Hresult, passed: str) -> Finding:
    """The check of that name, which fails with `hresult` for a fault."""
    return Finding(check, passed) if fault is None else Finding(check, fault, hresult)
