"""When a certificate is valid, and whether it expires soon."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

EXPIRY_WARNING = timedelta(days=30)
"""Warn this long before a certificate expires."""


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """When it begins and when it ends, in UTC (RFC 5280 §4.1.2.5)."""
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def expires_soon(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether a certificate that has not expired at `now` (timezone-aware) does so within `EXPIRY_WARNING`."""
    return now <= certificate.not_valid_after_utc < now + EXPIRY_WARNING
