"""OCSP responses and CRLs, issued in a line of code; every side can be turned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from support.pki import END, Extension, Issued, extended, issue, key_usage

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
CRITICAL: Extension = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)


def asks(url: str, *, ocsp_at: str = "/ocsp", crl_at: str = "/crl") -> tuple[Extension, ...]:
    """The extensions of a certificate that names a responder and a CRL; an empty place leaves one out."""
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url + ocsp_at))
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url + crl_at)], None, None, None)
    found: list[Extension] = []
    if ocsp_at:
        found.append((x509.AuthorityInformationAccess([access]), False))
    if crl_at:
        found.append((x509.CRLDistributionPoints([point]), False))
    return tuple(found)


@dataclass(frozen=True)
class Withdrawn:
    """A revocation: when, why, and since when the key is doubted."""

    when: datetime = NOW - 48 * HOUR
    reason: x509.ReasonFlags | None = None
    invalid: datetime | None = None
    more: tuple[Extension, ...] = ()


@dataclass(frozen=True)
class Ocsp:
    """A responder for certificates of `issuer`, which signs itself unless `delegate` does."""

    issuer: Issued
    delegate: Issued | None = None
    embedded: bool = True
    revoked: Withdrawn | None = None
    unknown: bool = False
    this_update: datetime = NOW - HOUR
    next_update: datetime | None = NOW + HOUR
    nonce: bytes | None = None
    repeats_nonce: bool = True
    about: x509.Certificate | None = None
    extensions: tuple[Extension, ...] = ()
    by_name: bool = False
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)

    def responding(self, certificate: x509.Certificate, request: ocsp.OCSPRequest) -> bytes:
        """The response about `certificate`, as DER."""
        signer = self.delegate or self.issuer
        status = ocsp.OCSPCertStatus.GOOD
        if self.revoked or self.unknown:
            status = ocsp.OCSPCertStatus.REVOKED if self.revoked else ocsp.OCSPCertStatus.UNKNOWN
        builder = ocsp.OCSPResponseBuilder().add_response(
            self.about or certificate,
            self.issuer.certificate,
            hashes.SHA1(),  # noqa: S303 - names, no signatures
            status,
            self.this_update,
            self.next_update,
            self.revoked.when if self.revoked else None,
            self.revoked.reason if self.revoked else None,
        )
        encoding = ocsp.OCSPResponderEncoding.NAME if self.by_name else ocsp.OCSPResponderEncoding.HASH
        builder = builder.responder_id(encoding, signer.certificate)
        if self.delegate is not None and self.embedded:
            builder = builder.certificates([self.delegate.certificate])
        asked = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        nonce = self.nonce or (asked if self.repeats_nonce else None)
        for extension, critical in ((x509.OCSPNonce(nonce), False), *self.extensions) if nonce else self.extensions:
            builder = builder.add_extension(extension, critical=critical)
        response = builder.sign(signer.key, self.digest)
        return response.public_bytes(Encoding.DER)


def responder(issuer: Issued, *more: Extension, usages: bool = True, end: datetime = END) -> Issued:
    """The certificate of a responder to which `issuer` delegates."""
    purposes = (extended(ExtendedKeyUsageOID.OCSP_SIGNING), key_usage("digital_signature")) if usages else ()
    return issue("Responder", issuer, extensions=(*purposes, *more), end=end)


@dataclass(frozen=True)
class Crl:
    """A CRL of `issuer` with those serial numbers in it."""

    issuer: Issued
    entries: tuple[tuple[int, Withdrawn], ...] = ()
    this_update: datetime = NOW - HOUR
    next_update: datetime = NOW + HOUR
    extensions: tuple[Extension, ...] = ()
    key: Issued | None = None

    def with_entry(self, certificate: x509.Certificate, withdrawn: Withdrawn) -> Crl:
        """The CRL with one more entry."""
        return replace(self, entries=(*self.entries, (certificate.serial_number, withdrawn)))

    def signed(self, encoding: Encoding = Encoding.DER) -> bytes:
        """The CRL's bytes."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.issuer.certificate.subject)
            .last_update(self.this_update)
            .next_update(self.next_update)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for extension, critical in self.extensions:
            builder = builder.add_extension(extension, critical=critical)
        for serial, withdrawn in self.entries:
            builder = builder.add_revoked_certificate(_entry(serial, withdrawn))
        signed = builder.sign((self.key or self.issuer).key, hashes.SHA256())
        return signed.public_bytes(encoding)


def _entry(serial: int, withdrawn: Withdrawn) -> x509.RevokedCertificate:
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(withdrawn.when)
    if withdrawn.reason is not None:
        entry = entry.add_extension(x509.CRLReason(withdrawn.reason), critical=False)
    if withdrawn.invalid is not None:
        entry = entry.add_extension(x509.InvalidityDate(withdrawn.invalid), critical=False)
    for extension, critical in withdrawn.more:
        entry = entry.add_extension(extension, critical=critical)
    return entry.build()
