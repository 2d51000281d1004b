"""When a certificate is valid, whether it expires soon, what ends with it, and how far clocks may differ."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from kspsign.certificates.parse import extension

EXPIRY_WARNING = timedelta(days=30)
"""Warn this long before a certificate expires."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far another machine's clock may be ahead of this machine's."""
_LIFETIME_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """When it begins and when it ends, in UTC (RFC 5280 §4.1.2.5)."""
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def expires_soon(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether a certificate that has not expired at `now` (timezone-aware) does so within `EXPIRY_WARNING`."""
    return now <= certificate.not_valid_after_utc < now + EXPIRY_WARNING


def is_short_lived(certificate: x509.Certificate) -> bool:
    """Whether it never lives longer than `EXPIRY_WARNING`: such certificates are renewed with each signature or day,
    so neither their end nor a newer one is worth a warning."""
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc <= EXPIRY_WARNING


def is_for_lifetime_signing(certificate: x509.Certificate) -> bool:
    """Whether what the certificate signs ends when it expires, timestamped or not (extended key usage
    szOID_KP_LIFETIME_SIGNING). Raises TrustError when its extensions are malformed."""
    usages = extension(certificate, x509.ExtendedKeyUsage)
    return usages is not None and _LIFETIME_SIGNING in usages.value
