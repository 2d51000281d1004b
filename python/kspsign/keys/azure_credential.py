"""Who signs in to Azure: by --azure-credential, else by what is given. Secrets come from variables only."""

from __future__ import annotations

from typing import Any

from azure.identity import (
    AzureCliCredential,
    AzurePipelinesCredential,
    ChainedTokenCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)

from kspsign.errors import ConfigurationError
from kspsign.settings import Settings


def open_credential(settings: Settings) -> Any:
    """An azure-identity credential; it asks for a token when first used.

    `auto` is the client secret if there is one (also of a service connection), else the service connection's
    workload identity federation if one is given, else Azure CLI or, where nobody is signed in to that, the managed
    identity. Raises ConfigurationError when a part is missing.
    """
    chosen = settings.azure_credential
    if chosen == "auto":
        if _variable(settings, "AZURE_CLIENT_SECRET"):
            chosen = "client-secret"
        elif _connection(settings) and _variable(settings, "SYSTEM_ACCESSTOKEN"):
            chosen = "pipelines"
    client = settings.azure_client_id or _variable(settings, "AZURE_CLIENT_ID")
    if chosen == "pipelines":
        return AzurePipelinesCredential(
            tenant_id=_needed(_tenant(settings), "azure_tenant_id"),
            client_id=_needed(client or _variable(settings, "AZURESUBSCRIPTION_CLIENT_ID"), "azure_client_id"),
            service_connection_id=_needed(_connection(settings), "azure_connection_id"),
            system_access_token=_needed(_variable(settings, "SYSTEM_ACCESSTOKEN"), "SYSTEM_ACCESSTOKEN"),
        )
    if chosen == "client-secret":
        return ClientSecretCredential(
            _needed(_tenant(settings), "azure_tenant_id"),
            _needed(client, "azure_client_id"),
            _needed(_variable(settings, "AZURE_CLIENT_SECRET"), "AZURE_CLIENT_SECRET"),
        )
    if chosen == "cli":
        return AzureCliCredential(tenant_id=_tenant(settings) or "")
    identity = ManagedIdentityCredential(client_id=client) if client else ManagedIdentityCredential()
    if chosen == "managed-identity":
        return identity
    return ChainedTokenCredential(AzureCliCredential(tenant_id=_tenant(settings) or ""), identity)


def _tenant(settings: Settings) -> str | None:
    return (
        settings.azure_tenant_id
        or _variable(settings, "AZURE_TENANT_ID")
        or _variable(settings, "AZURESUBSCRIPTION_TENANT_ID")
    )


def _connection(settings: Settings) -> str | None:
    return settings.azure_connection_id or _variable(settings, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")


def _variable(settings: Settings, name: str) -> str | None:
    value = settings.azure_environment.get(name)
    return None if value is None else value.get_secret_value()


def _needed(value: str | None, name: str) -> str:
    if value:
        return value
    if name.islower():
        remedy = f"Give --{name.replace('_', '-')}, or choose another --azure-credential."
    else:
        remedy = (
            f"Map the secret into the step: env: {{ {name}: $(...) }}; for System.AccessToken it is never implicit."
        )
    raise ConfigurationError(f"the sign-in to Azure needs {name}", remedy=remedy)
