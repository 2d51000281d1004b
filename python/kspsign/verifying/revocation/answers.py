"""The revocation status from OCSP or a CRL, and the rules that both must meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.certificates.parse import extension
from kspsign.certificates.validity import CLOCK_SKEW
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import iso_utc


@dataclass(frozen=True, slots=True)
class Revoked:
    """Since when a certificate is revoked, and why; `reason` is None when the CA gives none."""

    since: datetime
    reason: x509.ReasonFlags | None


@dataclass(frozen=True, slots=True)
class RevocationAnswer:
    """What `source` ("OCSP http://...") says: revoked, or good when `revoked` is None; to be asked again at `until`."""

    source: str
    until: datetime
    revoked: Revoked | None


def undetermined(detail: str) -> TrustError:
    """The error for an answer that does not count."""
    return TrustError(Hresult.CRYPT_E_REVOCATION_OFFLINE, detail, check="revocation")


def check_period(this_update: datetime, next_update: datetime, now: datetime) -> None:
    """Raise TrustError for an answer that is not current at `now`."""
    if this_update > now + CLOCK_SKEW:
        raise undetermined(f"it is of the future ({iso_utc(this_update)})")
    if next_update < now - CLOCK_SKEW:
        raise undetermined(f"it expired at {iso_utc(next_update)}")


def check_critical(extensions: Iterable[x509.Extension[x509.ExtensionType]], known: Iterable[object]) -> None:
    """Raise TrustError for a critical extension that is none of the `known` OIDs."""
    for entry in extensions:
        if entry.critical and entry.oid not in known:
            raise undetermined(f"it has a critical extension that is not known: {entry.oid.dotted_string}")


def revoked(since: datetime, reason: x509.ReasonFlags | None, extensions: x509.Extensions) -> Revoked:
    """The revocation with those extensions (RFC 5280 §5.3); an invalidity date before `since` is the earlier truth."""
    try:
        invalid = extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except x509.ExtensionNotFound:
        invalid = since
    return Revoked(min(since, invalid), reason)


def may_sign(ca: x509.Certificate, usage: str) -> bool:
    """Whether the key usage of `ca` allows `usage` (an attribute of x509.KeyUsage); without one it does."""
    stated = extension(ca, x509.KeyUsage)
    return stated is None or bool(getattr(stated.value, usage))


UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""Exceptions that the library raises for malformed answers."""
