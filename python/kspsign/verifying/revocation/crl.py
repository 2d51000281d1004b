"""Whether a CRL applies to a certificate, and the status it gives (RFC 5280 §5, §6.3).

A complete CRL that names a delta CRL (freshestCRL) counts with it alone. Indirect CRLs, and CRLs for some reasons
only, are refused rather than pieced together: CAs for code signing publish complete ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from kspsign.certificates.parse import display_name, extension, quiet
from kspsign.network.address import shown_url
from kspsign.network.fetch import fetch
from kspsign.network.pool import Pool
from kspsign.verifying.revocation.answers import (
    UNREADABLE,
    RevocationAnswer,
    Revoked,
    check_critical,
    check_period,
    may_sign,
    revoked,
    undetermined,
)
from kspsign.verifying.strength import STRONG

MAX_CRL = 1 << 25
_HTTP = ("http://", "https://")
_PEM = b"-----BEGIN X509 CRL-----"
_KNOWN = frozenset(
    {ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
)
_KNOWN_OF_DELTA = _KNOWN | {ExtensionOID.DELTA_CRL_INDICATOR}
_KNOWN_OF_ENTRY = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})


@dataclass(frozen=True, slots=True)
class DistributionPoint:
    """Where a certificate says its CRL is: an address, and all names of that place."""

    url: str
    names: frozenset[x509.GeneralName]


def distribution_points(certificate: x509.Certificate) -> Iterator[DistributionPoint]:
    """The addresses (HTTP) of complete CRLs that `certificate` names."""
    stated = extension(certificate, x509.CRLDistributionPoints)
    yield from _points(() if stated is None else stated.value)


def delta_points(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> Iterator[DistributionPoint]:
    """The addresses (HTTP) of delta CRLs that `crl` and `certificate` name (RFC 5280 §4.2.1.15, §5.2.6)."""
    for freshest in _freshest(crl, certificate):
        yield from _points(freshest)


def is_supplemented(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Whether there is a delta CRL to `crl`, wherever it is."""
    return any(True for _ in _freshest(crl, certificate))


def _freshest(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> Iterator[x509.FreshestCRL]:
    stated = extension(certificate, x509.FreshestCRL)
    if stated is not None:
        yield stated.value
    try:
        yield crl.extensions.get_extension_for_class(x509.FreshestCRL).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return  # an unreadable CRL is refused where it is looked into


def _points(stated: Iterable[x509.DistributionPoint]) -> Iterator[DistributionPoint]:
    for point in stated:
        if point.reasons or point.crl_issuer:
            continue
        names = point.full_name or ()
        for name in names:
            if isinstance(name, x509.UniformResourceIdentifier) and name.value.lower().startswith(_HTTP):
                yield DistributionPoint(name.value, frozenset(names))


def load_crl(pool: Pool, url: str) -> x509.CertificateRevocationList:
    """The CRL at `url`. Raises TrustError (CRYPT_E_REVOCATION_OFFLINE) when there is none."""
    content = fetch(pool, url, MAX_CRL)
    if isinstance(content, str):
        raise undetermined(content)
    try:
        return x509.load_pem_x509_crl(content) if content.startswith(_PEM) else x509.load_der_x509_crl(content)
    except UNREADABLE as broken:
        raise undetermined(f"it is not a CRL: {broken}") from broken


def look_up(
    crl: x509.CertificateRevocationList,
    point: DistributionPoint,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
    delta: x509.CertificateRevocationList | None = None,
) -> RevocationAnswer:
    """What `crl`, found at `point`, says of `certificate`, with what `delta` adds to it; raises TrustError when they do
    not count for it."""
    try:
        until = _check(crl, point, certificate, issuer, now, _KNOWN)
        found = _entry(crl, certificate)
        if delta is not None:
            until = min(until, _check(delta, point, certificate, issuer, now, _KNOWN_OF_DELTA))
            _check_base(delta, crl)
            newer = _entry(delta, certificate)
            if newer is not None:
                found = None if newer.reason is x509.ReasonFlags.remove_from_crl else newer
    except UNREADABLE as broken:
        raise undetermined(f"it can't be read: {broken}") from broken
    return RevocationAnswer(f"CRL {shown_url(point.url)}", until, found)


def _check(
    crl: x509.CertificateRevocationList,
    point: DistributionPoint,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
    known: Iterable[object],
) -> datetime:
    """Until when the CRL counts; raises TrustError when it does not count now, or for the certificate."""
    _check_issuer(crl, issuer)
    check_critical(crl.extensions, known)
    _check_scope(crl, point, certificate)
    until = crl.next_update_utc
    if until is None:
        raise undetermined("it does not state how long it is valid")
    check_period(crl.last_update_utc, until, now)
    return until


def _entry(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> Revoked | None:
    with quiet():
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return None
    check_critical(entry.extensions, _KNOWN_OF_ENTRY)
    return revoked(entry.revocation_date_utc, _reason(entry), entry.extensions)


def _check_base(delta: x509.CertificateRevocationList, crl: x509.CertificateRevocationList) -> None:
    """RFC 5280 §5.2.4: the delta CRL goes with complete ones from its base on that are not newer than itself."""
    try:
        base = delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value.crl_number
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        newest = delta.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as missing:
        raise undetermined("it and its delta CRL do not say which goes with which") from missing
    if not base <= number <= newest:
        raise undetermined(f"its delta CRL is to number {base} and newer, and it has number {number}")


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
    if scope.full_name and not point.names & set(scope.full_name):
        raise undetermined("it is for another distribution point")


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None
