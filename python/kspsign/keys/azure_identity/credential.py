"""The credential for Azure: by --azure-credential, else by what is given. Secrets come from variables only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzurePipelinesCredential,
    ChainedTokenCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)

from kspsign.keys.azure_identity.cli import AzureCli
from kspsign.keys.azure_identity.options import AzureSignIn
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, PrerequisiteError


class _CliElseIdentity:
    """A TokenCredential: Azure CLI or, if that is not signed in, the machine's managed identity."""

    def __init__(self, cli: AzureCli, identity: ManagedIdentityCredential) -> None:
        self._cli = cli
        # In a chain it finds out quickly that there is none.
        self._identity = ChainedTokenCredential(identity)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token of the first that gives one. Raises PrerequisiteError with what each of them said."""
        try:
            return self._cli.get_token(*scopes, **options)
        except PrerequisiteError as no_cli:
            try:
                token: AccessToken = self._identity.get_token(*scopes, **options)
            except ClientAuthenticationError as no_identity:
                raise PrerequisiteError(
                    f"no credential for Azure: {no_cli.message}; the managed identity: {_line(no_identity)}",
                    code="AZURE_SIGN_IN",
                    remedy="Choose the credential with --azure-credential, and provide what it needs.",
                ) from no_identity
            return token


class _Federation(AzurePipelinesCredential):
    """Workload identity federation. A sign-in page in the place of the pipeline's token is a refused sign-in."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        with _only_json():
            return super().get_token(*scopes, **options)

    def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        with _only_json():
            return super().get_token_info(*scopes, **options)


@contextlib.contextmanager
def _only_json() -> Iterator[None]:
    try:
        yield
    except ValueError as page:
        raise ClientAuthenticationError(
            message="the pipeline's token service did not answer with JSON, but perhaps with a sign-in page"
        ) from page


def open_credential(options: AzureSignIn, surroundings: Surroundings, transport: AzureTransport) -> Any:
    """A TokenCredential; it asks for a token when first used.

    It asks through `transport`, except a managed identity: that is on this machine or link-local, past any proxy.

    `auto` is the client secret if there is one (also of a service connection), else the service connection's
    workload identity federation if one is given, else Azure CLI or, if that is not signed in, the managed
    identity. Raises ConfigurationError when a part is missing.
    """
    chosen = options.azure_credential
    if chosen == "auto":
        if _variable(surroundings, "AZURE_CLIENT_SECRET"):
            chosen = "client-secret"
        elif _connection(options, surroundings) and _variable(surroundings, "SYSTEM_ACCESSTOKEN"):
            chosen = "pipelines"
    client = options.azure_client_id or _variable(surroundings, "AZURE_CLIENT_ID")
    if chosen == "pipelines":
        if not _variable(surroundings, "SYSTEM_OIDCREQUESTURI"):
            raise ConfigurationError(
                "workload identity federation needs SYSTEM_OIDCREQUESTURI, which the agent of Azure Pipelines sets",
                remedy="Run it in a step of Azure Pipelines, or choose another --azure-credential.",
            )
        return _Federation(
            tenant_id=_needed(_tenant(options, surroundings), "azure_tenant_id"),
            client_id=_needed(client or _variable(surroundings, "AZURESUBSCRIPTION_CLIENT_ID"), "azure_client_id"),
            service_connection_id=_needed(_connection(options, surroundings), "azure_connection_id"),
            system_access_token=_needed(_variable(surroundings, "SYSTEM_ACCESSTOKEN"), "SYSTEM_ACCESSTOKEN"),
            transport=transport,
        )
    if chosen == "client-secret":
        return ClientSecretCredential(
            _needed(_tenant(options, surroundings), "azure_tenant_id"),
            _needed(client, "azure_client_id"),
            _needed(_variable(surroundings, "AZURE_CLIENT_SECRET"), "AZURE_CLIENT_SECRET"),
            transport=transport,
        )
    if chosen == "cli":
        return AzureCli(surroundings, _tenant(options, surroundings))
    identity = ManagedIdentityCredential(client_id=client or None, use_env_settings=False)
    if chosen == "managed-identity":
        return identity
    return _CliElseIdentity(AzureCli(surroundings, _tenant(options, surroundings)), identity)


def _line(refused: ClientAuthenticationError) -> str:
    return " ".join(str(refused.message).split())[:300]


def _tenant(options: AzureSignIn, surroundings: Surroundings) -> str | None:
    return (
        options.azure_tenant_id
        or _variable(surroundings, "AZURE_TENANT_ID")
        or _variable(surroundings, "AZURESUBSCRIPTION_TENANT_ID")
    )


def _connection(options: AzureSignIn, surroundings: Surroundings) -> str | None:
    return options.azure_connection_id or _variable(surroundings, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")


def _variable(surroundings: Surroundings, name: str) -> str | None:
    value = surroundings.environment.get(name)
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
