"""The checks of one signature of a file: structure, digest, signature, chain, each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509

from kspsign.authenticode.cms.timestamp import Timestamp
from kspsign.authenticode.profile import FileSignature, IssuerNaming
from kspsign.authenticode.signable import SignableFile
from kspsign.certificates.parse import common_name_of, key_kind, parse_certificate, subject_of, thumbprint_of
from kspsign.certificates.validity import is_for_lifetime_signing
from kspsign.model.checks import CheckName
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding, SignatureFacts, TimestampFacts, iso_utc
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.chain_checks import (
    JudgedChain,
    Trust,
    algorithm_finding,
    chain_findings,
    finding,
    revocation_findings,
    root_facts,
)
from kspsign.verifying.timestamps import Stamped, examine_timestamp
from kspsign.verifying.unsigned_data import attributes_finding, certificates_finding

if TYPE_CHECKING:
    from kspsign.verifying.revocation import Revocation

MAX_NESTED = 16
"""Signatures of a file that are read, further and nested ones included."""
_WITHOUT_LIFETIME = (
    "Sign again with a certificate without lifetime signing (extended key usage 1.3.6.1.4.1.311.10.3.13): no timestamp "
    "extends what this one signs."
)


class ExaminedSignature(NamedTuple):
    """A signature with every check of it. `stamp` is None when there is none that can be read.

    `path` is the signer's chain, `authority_path` the timestamp authority's, leaf first, as far as they were found;
    `root` and `authority_root` are the ends of those that hold.
    """

    signature: FileSignature
    findings: tuple[Finding, ...]
    stamp: Timestamp | None
    path: tuple[x509.Certificate, ...]
    authority_path: tuple[x509.Certificate, ...]
    root: x509.Certificate | None = None
    authority_root: x509.Certificate | None = None

    @property
    def facts(self) -> SignatureFacts:
        """What the report says of it."""
        return _facts(self)


def examine_signature(
    signature: FileSignature,
    digests: dict[DigestAlgorithm, bytes],
    trust: Trust,
    revocation: Revocation | None = None,
) -> ExaminedSignature:
    """Every check of `signature` over a file whose digests are `digests`; revocation is asked for when given."""
    stamped = examine_timestamp(signature, trust, revocation)
    lifetime = _is_for_lifetime_signing(signature)
    extended_to = None if lifetime else stamped.time
    chain = _chain(signature, trust, extended_to, lifetime=lifetime)
    of_chain = (
        *chain.findings,
        *_embedded(signature, chain, stamped, trust),
        *revocation_findings(chain, revocation, CertificatePurpose.CODE_SIGNING, extended_to),
    )
    explains = not lifetime and _follows_from(stamped, chain)
    findings = (
        _structure(signature),
        attributes_finding(signature),
        algorithm_finding("algorithms", trust.strength, signature.algorithm, signature.signer_digest_algorithm),
        _digest(signature, digests),
        _content(signature),
        _signature(signature),
        *((*stamped.findings, *of_chain) if explains else (*of_chain, *stamped.findings)),
        *_publisher(signature, chain),
    )
    root = chain.path[-1] if chain.holds else None
    authority_root = stamped.path[-1] if stamped.time is not None and stamped.path else None
    return ExaminedSignature(signature, findings, stamped.stamp, chain.path, stamped.path, root, authority_root)


def _structure(signature: FileSignature) -> Finding:
    return finding("cms-structure", signature.fault, Hresult.TRUST_E_MALFORMED_SIGNATURE, "well-formed, one signer")


def _digest(signature: FileSignature, digests: dict[DigestAlgorithm, bytes]) -> Finding:
    actual = digests[signature.algorithm]
    signed = signature.file_digest
    fault = None if actual == signed else f"signed {signed.hex()}, the file has {actual.hex()}"
    return finding("digest", fault, Hresult.TRUST_E_BAD_DIGEST, actual.hex())


def _content(signature: FileSignature) -> Finding:
    fault = signature.content_fault()
    return finding("signed-attributes", fault, Hresult.TRUST_E_CERT_SIGNATURE, "cover the digest")


def _signature(signature: FileSignature) -> Finding:
    fault = signature.signer_fault()
    missing = signature.certificate is None
    hresult = Hresult.TRUST_E_NO_SIGNER_CERT if missing else Hresult.TRUST_E_CERT_SIGNATURE
    return finding("signature", fault, hresult, "made with the certificate's key")


def _publisher(signature: FileSignature, chain: JudgedChain) -> Iterator[Finding]:
    """The check "publisher-identity", of signatures that name the issuer of their certificate."""
    if not isinstance(signature, IssuerNaming):
        return
    path = chain.path
    is_root = len(path) == 1 and path[0].issuer == path[0].subject
    if len(path) < 2 and not is_root:
        yield Finding("publisher-identity", "the issuer of the certificate is not known", Hresult.CERT_E_CHAINING)
        return
    fault = signature.publisher_fault(path[0] if is_root else path[1])
    named = "the certificate's subject, and its issuer's key"
    yield finding("publisher-identity", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE, named)


def _is_for_lifetime_signing(signature: FileSignature) -> bool:
    try:
        return signature.certificate is not None and is_for_lifetime_signing(parse_certificate(signature.certificate))
    except TrustError:
        return False  # the chain's findings say what is wrong with the certificate


def _follows_from(stamped: Stamped, chain: JudgedChain) -> bool:
    """Whether the chain fails for its time alone, which is the present since a timestamp that is there does not
    count."""
    failed = {found.check for found in chain.findings if found.hresult is not None}
    return failed == {"certificate-validity"} and stamped.is_refused


def _chain(signature: FileSignature, trust: Trust, stamped: datetime | None, *, lifetime: bool) -> JudgedChain:
    """The signer's chain at the time `stamped`, at present when that is None."""
    if signature.certificate is None:
        return JudgedChain()
    moment = stamped or datetime.now(UTC)
    result = validate_chain(
        *(signature.certificate, signature.certificates, trust.signers),
        *(CertificatePurpose.CODE_SIGNING, moment, trust.strength),
    )
    now = "now, lifetime signing: no timestamp extends it" if lifetime else "now, no valid timestamp"
    when = f"at {iso_utc(moment)} ({'timestamp' if stamped else now})"
    remedies: dict[CheckName, str] = {"certificate-validity": _WITHOUT_LIFETIME} if lifetime else {}
    return JudgedChain(tuple(chain_findings(result, CertificatePurpose.CODE_SIGNING, when, remedies)), result.path)


def _embedded(signature: FileSignature, chain: JudgedChain, stamped: Stamped, trust: Trust) -> Iterator[Finding]:
    """Judged by valid chains only: certificates of an invalid chain belong to nothing."""
    if not chain.holds or (stamped.stamp is not None and stamped.time is None):
        return
    embedded = signature.certificates
    beside = stamped.path if signature.counter_signatures else ()
    # A countersigner shares the set with the signer, and each has its own chain.
    shared = (parse_certificate(der) for der in signature.sharing)
    found = certificates_finding(embedded, (*chain.path, *beside, *shared), trust.authorities)
    if stamped.stamp is not None and not signature.counter_signatures and found.hresult is None:
        found = certificates_finding(stamped.stamp.certificates, stamped.path, trust.authorities)
    yield found


def _facts(examined: ExaminedSignature) -> SignatureFacts:
    signature, stamp, stamped = examined.signature, examined.stamp, None
    if stamp is not None:
        stamped = TimestampFacts(
            time=iso_utc(stamp.time),
            authority=_named(common_name_of, stamp.signer),
            digest=stamp.digest_algorithm.value,
            root=root_facts(examined.authority_root),
            thumbprint=thumbprint_of(stamp.signer) if stamp.signer else "",
        )
    certificate = signature.certificate
    return SignatureFacts(
        thumbprint=thumbprint_of(certificate) if certificate else "",
        subject=_named(subject_of, certificate),
        digest=signature.algorithm.value,
        timestamp=stamped,
        key=key_kind(parse_certificate(certificate)) if certificate and examined.path else "",
        root=root_facts(examined.root),
    )


def _named(name: Callable[[bytes | None], str], certificate: bytes | None) -> str:
    try:
        return name(certificate)
    except TrustError:
        return "unknown"  # the chain's findings say what is wrong with the certificate


def read_signatures(file: SignableFile) -> tuple[tuple[FileSignature, ...], tuple[Finding, ...]]:
    """Every signature, with countersigner and further ones after it, and a finding for each that can't be read."""
    read: list[FileSignature] = []
    findings: list[Finding] = []
    waiting = list(file.signatures)
    while waiting:
        if len(read) + len(findings) >= MAX_NESTED:
            findings.append(Finding("cms-structure", "too many signatures", Hresult.TRUST_E_MALFORMED_SIGNATURE))
            break
        try:
            signature: FileSignature = file.profile.read(waiting.pop(0))
        except TrustError as fault:
            hresult = fault.hresult or Hresult.TRUST_E_MALFORMED_SIGNATURE
            findings.append(Finding(fault.check, fault.message, hresult))
            continue
        read += (signature, *signature.countersigners)
        waiting[:0] = signature.further
    return tuple(read), tuple(findings)
