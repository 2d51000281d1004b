"""What the Azure clients' errors mean and what to do."""

from __future__ import annotations

from typing import TypeVar

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from kspsign.errors import PrerequisiteError, SigningError

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)

_BY_STATUS = {
    401: (
        "AZURE_SIGN_IN",
        "The vault does not accept this sign-in: check the tenant, and that the vault belongs to it.",
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
}


def explained(refused: AzureError, action: str, kind: type[_ErrorT]) -> _ErrorT:
    """An error of ours, of class `kind`, for what a client raised when it was to do `action`."""
    text = " ".join(str(refused.message or refused).split())[:600]
    if isinstance(refused, ClientAuthenticationError):
        return kind(
            f"the sign-in to Azure failed: {text}",
            code="AZURE_SIGN_IN",
            remedy="Check --azure-credential, tenant and client id, and that secret, token or federated credential is "
            "current and mapped into this step.",
        )
    if not isinstance(refused, HttpResponseError) or refused.status_code is None:
        return kind(
            f"Azure Key Vault can't be reached: {text}",
            code="KEY_VAULT_UNREACHABLE",
            remedy="Check the vault's name, proxy (HTTPS_PROXY), firewall and private endpoint; behind a proxy that "
            "breaks TLS open name its CA in REQUESTS_CA_BUNDLE.",
        )
    if "disabled" in text.lower():
        return kind(
            f"Azure Key Vault refused to {action}: {text}",
            code="KEY_VAULT_DISABLED",
            remedy="Enable the key or certificate version in the vault, or name another version.",
        )
    code, remedy = _BY_STATUS.get(
        refused.status_code,
        ("KEY_VAULT_REFUSED", "See the vault's diagnostic log; run again if the service had a fault."),
    )
    return kind(f"Azure Key Vault refused to {action} (HTTP {refused.status_code}): {text}", code=code, remedy=remedy)
