"""Maps the Azure clients' errors to ours, each with a remedy."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from kspsign.model.errors import LostSignatureError, PrerequisiteError, SigningError, ThrottledError
from kspsign.network.retry import retry_after_seconds

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)

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


def explained(refused: AzureError, action: str, kind: type[_ErrorT]) -> _ErrorT:
    """An error of ours, of class `kind`, for what a client raised when it was to do `action`."""
    text = " ".join(str(refused.message or refused).split())[:600]
    if isinstance(refused, ClientAuthenticationError):
        return _no_sign_in(refused, text, kind)
    if not isinstance(refused, HttpResponseError) or refused.status_code is None:
        return kind(
            f"Azure Key Vault can't be reached: {text}",
            code="KEY_VAULT_UNREACHABLE",
            remedy="Check the vault's name, proxy (HTTPS_PROXY), firewall and private endpoint; behind a proxy that "
            "inspects TLS, name its CA in REQUESTS_CA_BUNDLE.",
        )
    if "disabled" in text.lower():
        return kind(
            f"Azure Key Vault refused to {action}: {text}",
            code="KEY_VAULT_DISABLED",
            remedy="Enable the key or certificate version in the vault, or name another version.",
        )
    code, remedy = _BY_STATUS.get(
        refused.status_code,
        ("KEY_VAULT_REFUSED", "See the vault's diagnostic log; run again if the service had a failure."),
    )
    return kind(f"Azure Key Vault refused to {action} (HTTP {refused.status_code}): {text}", code=code, remedy=remedy)


def _no_sign_in(refused: ClientAuthenticationError, text: str, kind: type[_ErrorT]) -> _ErrorT:
    url = urlsplit(str(getattr(getattr(refused.response, "request", None), "url", "")))
    if url.path.endswith("/oidctoken"):
        # The client words this answer by Microsoft's error shape, which it does not have.
        return kind(
            f"{url.hostname} returned no token for the service connection (HTTP {refused.status_code})",
            code="AZURE_SIGN_IN",
            remedy="Check the connection's id, that this pipeline may use it and a task of this job names it in an "
            "input, and map SYSTEM_ACCESSTOKEN: $(System.AccessToken) into the step.",
        )
    return kind(
        f"the sign-in to Azure failed: {text}",
        code="AZURE_SIGN_IN",
        remedy="Check --azure-credential, tenant and client id, and that secret, token or federated credential is "
        "current and mapped into this step.",
    )


def no_signature(broken: AzureError) -> SigningError:
    """The signing error for a client's exception: the vault is too busy, its answer was lost, or it refused."""
    said = explained(broken, "sign with the key", SigningError)
    status = broken.status_code if isinstance(broken, HttpResponseError) else None
    if status in _THROTTLED or isinstance(broken, ServiceRequestTimeoutError):
        headers = getattr(getattr(broken, "response", None), "headers", {})
        wait = retry_after_seconds(headers.get("Retry-After"))
        return ThrottledError(said.message, code=said.code, remedy=said.remedy, retry_after=wait)
    if status in _GATEWAY or isinstance(broken, (ServiceResponseError, IncompleteReadError)):
        return LostSignatureError(
            f"a signature was requested, and the response was lost ({said.message}): it may have spent a signature",
            code="SIGNATURE_MAY_BE_SPENT",
            remedy="Run again to sign the file; the vault's diagnostic log shows whether it signed before.",
            timed_out=isinstance(broken, ServiceResponseTimeoutError) or status == HTTPStatus.GATEWAY_TIMEOUT,
        )
    return said
