"""The facts about a certificate that reports and messages show."""

from __future__ import annotations

import hashlib

from cryptography import x509

from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import distinguished_name
from kspsign.model.errors import PrerequisiteError, TrustError
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import SyncedCertificate, iso_utc


def certificate_facts(certificate: SyncedCertificate) -> CertificateFacts:
    """The leaf's facts: names as RFC 4514 strings, the serial number in upper-case hex of whole bytes.

    Raises PrerequisiteError when the certificate can't be read (RFC 5280 §4.1).
    """
    leaf = certificate.chain[0]
    try:
        parsed = x509.load_der_x509_certificate(leaf)
        subject, issuer = distinguished_name(parsed.subject), distinguished_name(parsed.issuer)
        serial = f"{parsed.serial_number:X}"
        durable = sorted(PublisherIdentity.of(leaf).durable)
    except (ValueError, TrustError) as unreadable:
        raise PrerequisiteError(
            f"certificate {certificate.thumbprint} can't be read: {unreadable}",
            code="CERTIFICATE_UNREADABLE",
            remedy="Export the certificate from the key store again, or ask the CA for a well-formed one.",
        ) from unreadable
    return CertificateFacts(
        thumbprint=certificate.thumbprint,
        sha256=hashlib.sha256(leaf).hexdigest(),
        subject=subject,
        issuer=issuer,
        serial=serial if len(serial) % 2 == 0 else f"0{serial}",
        not_before=iso_utc(parsed.not_valid_before_utc),
        not_after=iso_utc(parsed.not_valid_after_utc),
        alias=certificate.alias,
        durable_identity=durable[0] if durable else None,
    )
