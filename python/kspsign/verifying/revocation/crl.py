"""Whether a CRL counts for a certificate, and what it says of it (RFC 5280 §5, §6.3).

Delta and indirect CRLs, and CRLs for some reasons only, are refused rather than pieced together: CAs for code
signing publish complete ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from kspsign.certificates.parse import display_name, extension
from kspsign.network.address import shown_url
from kspsign.network.fetch import fetch
from kspsign.network.pool import Pool
from kspsign.verifying.revocation.answers import (
    UNREADABLE,
    Answer,
    check_critical,
    check_period,
    may_sign,
    revoked,
    undetermined,
)
from kspsign.verifying.strength import STRONG

MAX_CRL = 1 << 25
_PEM = b"-----BEGIN X509 CRL-----"
_KNOWN = frozenset(
    {ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
)
_KNOWN_OF_ENTRY = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})


@dataclass(frozen=True, slots=True)
class DistributionPoint:
    """Where a certificate says its CRL is: an address, and all names of that place."""

    url: str
    names: frozenset[str]


def distribution_points(certificate: x509.Certificate) -> Iterator[DistributionPoint]:
    """The addresses (HTTP) of complete CRLs that `certificate` names."""
    stated = extension(certificate, x509.CRLDistributionPoints)
    for point in stated.value if stated is not None else ():
        if point.reasons or point.crl_issuer:
            continue
        names = _uris(point.full_name or ())
        for url in names:
            if url.lower().startswith(("http://", "https://")):
                yield DistributionPoint(url, frozenset(names))


def load_crl(pool: Pool, url: str) -> x509.CertificateRevocationList:
    """The CRL at `url`. Raises TrustError (CRYPT_E_REVOCATION_OFFLINE) when there is none."""
    content = fetch(pool, url, MAX_CRL)
    if isinstance(content, str):
        raise undetermined(content)
    try:
        return x509.load_pem_x509_crl(content) if content.startswith(_PEM) else x509.load_der_x509_crl(content)
    except UNREADABLE as broken:
        raise undetermined(f"it is no CRL: {broken}") from broken


def look_up(
    crl: x509.CertificateRevocationList,
    point: DistributionPoint,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
) -> Answer:
    """What `crl`, found at `point`, says of `certificate`; raises TrustError when it does not count for it."""
    try:
        _check_issuer(crl, issuer)
        check_critical(crl.extensions, _KNOWN)
        _check_scope(crl, point, certificate)
        until = crl.next_update_utc
        if until is None:
            raise undetermined("it does not say until when it counts")
        check_period(crl.last_update_utc, until, now)
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is None:
            return Answer(f"CRL {shown_url(point.url)}", until, None)
        check_critical(entry.extensions, _KNOWN_OF_ENTRY)
        found = revoked(entry.revocation_date_utc, _reason(entry), entry.extensions)
    except UNREADABLE as broken:
        raise undetermined(f"it can't be read: {broken}") from broken
    return Answer(f"CRL {shown_url(point.url)}", until, found)


def _check_issuer(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    if crl.issuer != issuer.subject:
        raise undetermined(f"it is not of {display_name(issuer)}")
    if not may_sign(issuer, "crl_sign"):
        raise undetermined(f"{display_name(issuer)} may not sign CRLs")
    algorithm = crl.signature_hash_algorithm
    if algorithm is None or algorithm.name not in {digest.value for digest in STRONG.digests}:
        raise undetermined("it is signed with an algorithm that is too weak or not supported")
    if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # the chain's keys are RSA or EC
        raise undetermined(f"it is not signed by {display_name(issuer)}")


def _check_scope(crl: x509.CertificateRevocationList, point: DistributionPoint, certificate: x509.Certificate) -> None:
    """RFC 5280 §6.3.3 b: the CRL must be about all reasons, this kind of certificate, and this place."""
    try:
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return
    constraints = extension(certificate, x509.BasicConstraints)
    is_ca = constraints is not None and constraints.value.ca
    if scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs or scope.relative_name:
        raise undetermined("it is indirect, or about some reasons or attribute certificates only")
    if (scope.only_contains_user_certs and is_ca) or (scope.only_contains_ca_certs and not is_ca):
        raise undetermined(f"it is not about certificates like {display_name(certificate)}")
    if scope.full_name and not point.names & set(_uris(scope.full_name)):
        raise undetermined("it is for another distribution point")


def _uris(names: object) -> list[str]:
    return [each.value for each in names if isinstance(each, x509.UniformResourceIdentifier)]  # type: ignore[attr-defined]


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None
