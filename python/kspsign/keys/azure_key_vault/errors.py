"""Maps the Azure clients' errors to ours, each with a remedy."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from kspsign.keys.azure_identity.errors import no_sign_in, said_by_client
from kspsign.keys.azure_key_vault.reasons import reason_for
from kspsign.model.errors import LostSignatureError, PrerequisiteError, SigningError, ThrottledError
from kspsign.network.retry import retry_after_seconds

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)

MISREAD: Final = (ValueError, TypeError, AttributeError, LookupError)
"""What Microsoft's clients raise for an answer that is not of their service: no JSON, or JSON of another shape."""
_THROTTLED = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_BY_STATUS = {
    401: (
        "AZURE_SIGN_IN",
        "The vault rejects this sign-in: check the tenant, and that the vault belongs to it.",
    ),
    403: (
        "KEY_VAULT_FORBIDDEN",
        "Give the identity the roles Key Vault Crypto User and Key Vault Certificate User, and let the agent through.",
    ),
    404: (
        "KEY_VAULT_NOT_FOUND",
        "Correct --key-identifier. A key without a certificate (imported, Managed HSM) needs --certificate FILE.",
    ),
    429: ("KEY_VAULT_THROTTLED", "Lower --jobs; the service limits signatures per vault in ten seconds."),
    503: ("KEY_VAULT_UNAVAILABLE", "Run again later: files that are signed already are skipped."),
}


def explained(refused: AzureError, action: str, error_class: type[_ErrorT]) -> _ErrorT:
    """An error of ours, of class `error_class`, for what a client raised when it was to do `action`."""
    text = said_by_client(refused)
    if isinstance(refused, ClientAuthenticationError):
        return no_sign_in(refused, error_class)
    if not isinstance(refused, HttpResponseError) or refused.status_code is None:
        return error_class(
            f"Azure Key Vault can't be reached: {text}",
            code="KEY_VAULT_UNREACHABLE",
            remedy="Check the vault's name, proxy (HTTPS_PROXY), firewall and private endpoint; behind a proxy that "
            "inspects TLS, name its CA with --ca-file or in REQUESTS_CA_BUNDLE.",
        )
    if refused.status_code < HTTPStatus.BAD_REQUEST:
        return unreadable(action, text, error_class)
    code, remedy = reason_for(refused, text) or _BY_STATUS.get(
        refused.status_code,
        ("KEY_VAULT_REFUSED", "See the vault's diagnostic log; run again if the service had a failure."),
    )
    return error_class(
        f"Azure Key Vault refused to {action} (HTTP {refused.status_code}): {text}", code=code, remedy=remedy
    )


def unreadable(action: str, why: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error, of class `error_class`, for an answer that is not the service's."""
    return error_class(
        f"Azure Key Vault's answer to the request to {action} can't be read: {why}",
        code="KEY_VAULT_ANSWER",
        remedy="A proxy's or firewall's page may have answered instead: let the agent reach the vault directly.",
    )


def no_signature(broken: AzureError) -> SigningError:
    """The signing error for a client's exception: the vault is too busy, its answer was lost, or it refused."""
    said = explained(broken, "sign with the key", SigningError)
    status = broken.status_code if isinstance(broken, HttpResponseError) else None
    if status in _THROTTLED or isinstance(broken, ServiceRequestTimeoutError):
        headers = getattr(getattr(broken, "response", None), "headers", {})
        wait = retry_after_seconds(headers.get("Retry-After"))
        return ThrottledError.of(said, wait)
    answered = status is not None and status < HTTPStatus.BAD_REQUEST
    if answered or status in _GATEWAY or isinstance(broken, (ServiceResponseError, IncompleteReadError)):
        slow = isinstance(broken, ServiceResponseTimeoutError) or status == HTTPStatus.GATEWAY_TIMEOUT
        return lost_signature(said.message, timed_out=slow)
    return said


def lost_signature(why: str, *, timed_out: bool = False) -> LostSignatureError:
    """The error for a signature that was asked for and never seen."""
    return LostSignatureError(
        f"a signature was requested, and the response was lost ({why}): it may have spent a signature",
        code="SIGNATURE_MAY_BE_SPENT",
        remedy="Run again to sign the file; the vault's diagnostic log shows whether it signed before.",
        timed_out=timed_out,
    )
