"""How long a certificate is still valid, and how far clocks may differ."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

EXPIRY_WARNING = timedelta(days=30)
"""Warn this long before a certificate expires."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far somebody else's clock may be ahead of this machine's."""


def expires_soon(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether a certificate that has not expired at `now` (timezone-aware) does so within `EXPIRY_WARNING`."""
    return now <= certificate.not_valid_after_utc < now + EXPIRY_WARNING
