"""What a run warns of though nothing failed: certificates that Windows may not honour, or not for as long as hoped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kspsign.certificates.parse import key_kind, parse_certificate
from kspsign.certificates.validity import is_for_lifetime_signing
from kspsign.model.errors import TrustError
from kspsign.model.report import FileOutcome, RunWarning
from kspsign.model.values import SyncedCertificate, iso_utc

_RSA_ONLY = "Microsoft's root program and App Control for Business support RSA only, so Windows may not trust it"
_USE_RSA = "Use a certificate with an RSA key of 3072 or 4096 bits."


def certificate_warnings(certificate: SyncedCertificate) -> Iterator[RunWarning]:
    """What is to be said of the certificate that signs."""
    leaf = parse_certificate(certificate.chain[0])
    if is_ecdsa(key_kind(leaf)):
        text = f"certificate {certificate.thumbprint} has an ECDSA key ({key_kind(leaf)}): {_RSA_ONLY}"
        yield RunWarning("ECDSA_CERTIFICATE", text, _USE_RSA)
    try:
        lifetime = is_for_lifetime_signing(leaf)
    except TrustError:
        return  # the chain's checks say what is wrong with it
    if lifetime:
        yield RunWarning(
            "LIFETIME_SIGNING",
            f"certificate {certificate.thumbprint} is for lifetime signing: whatever it signs ends with it on "
            f"{iso_utc(leaf.not_valid_after_utc)}, timestamped or not",
            "Use a certificate without the extended key usage 1.3.6.1.4.1.311.10.3.13 for what is to last longer.",
        )


def signature_warnings(outcomes: Iterable[FileOutcome]) -> Iterator[RunWarning]:
    """What is to be said of the signatures that were judged."""
    files = [outcome for outcome in outcomes if any(is_ecdsa(signature.key) for signature in outcome.signatures)]
    if files:
        first = f"{files[0].path}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        yield RunWarning("ECDSA_CERTIFICATE", f"signed with an ECDSA key: {first}; {_RSA_ONLY}", _USE_RSA)


def is_ecdsa(key: str) -> bool:
    """Whether a key of that kind (see `key_kind`) signs with ECDSA."""
    return key.startswith("EC ")
