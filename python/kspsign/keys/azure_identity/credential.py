"""The credential for Azure: by --azure-credential, else by what is given. Secrets come from variables only."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Literal

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzurePipelinesCredential,
    ChainedTokenCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)

from kspsign.keys.azure_identity.cli import AzureCli
from kspsign.keys.azure_identity.options import AzureCredentialName, AzureSignIn
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, PrerequisiteError

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
Excluded = Literal["client-secret", "cli", "managed-identity"]
"""What `auto` can be told to leave out."""


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


def open_credential(
    options: AzureSignIn,
    surroundings: Surroundings,
    transport: AzureTransport,
    excluded: frozenset[Excluded] = frozenset(),
    authority: str | None = None,
) -> Any:
    """A TokenCredential; it asks for a token when first used.

    It asks through `transport`, except a managed identity: that is on this machine or link-local, past any proxy.

    `auto` is the client secret if there is one (also of a service connection), else the service connection's
    workload identity federation if one is given, else Azure CLI or, if that is not signed in, the managed identity;
    `excluded` are left out. `authority` is the sign-in host of a sovereign cloud. Raises ConfigurationError when a part
    is missing.
    """
    chosen = options.azure_credential
    if chosen == "auto":
        chosen = _by_what_is_given(options, surroundings, excluded)
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
            authority=authority,
        )
    if chosen == "client-secret":
        return ClientSecretCredential(
            _needed(_tenant(options, surroundings), "azure_tenant_id"),
            _needed(client, "azure_client_id"),
            _needed(_variable(surroundings, "AZURE_CLIENT_SECRET"), "AZURE_CLIENT_SECRET"),
            transport=transport,
            authority=authority,
        )
    if chosen == "cli":
        return AzureCli(surroundings, _tenant(options, surroundings))
    identity = ManagedIdentityCredential(client_id=client or None, use_env_settings=False)
    if chosen == "managed-identity":
        return identity
    return _CliElseIdentity(AzureCli(surroundings, _tenant(options, surroundings)), identity)


def who_signs_in(options: AzureSignIn, surroundings: Surroundings, excluded: frozenset[Excluded] = frozenset()) -> str:
    """Whom `open_credential` signs in, in words for people; no secret. Raises ConfigurationError as it does."""
    client = options.azure_client_id or _variable(surroundings, "AZURE_CLIENT_ID")
    application = f"application {client or _variable(surroundings, 'AZURESUBSCRIPTION_CLIENT_ID')}"
    tenant = f"tenant {_tenant(options, surroundings)}"
    identity = f"managed identity {client}" if client else "the machine's managed identity"
    chosen = options.azure_credential
    if chosen == "auto":
        chosen = _by_what_is_given(options, surroundings, excluded)
    words = {
        "client-secret": f"client secret of {application} in {tenant}",
        "pipelines": f"service connection {_connection(options, surroundings)} of {application} in {tenant}",
        "cli": "the account that Azure CLI is signed in to",
        "managed-identity": identity,
        "auto": f"Azure CLI's account, else {identity}",
    }
    return words[chosen]


def check_sign_in(options: AzureSignIn, surroundings: Surroundings) -> None:
    """Raise ConfigurationError for a sign-in that can be seen not to be accepted, before anybody is asked."""
    client = options.azure_client_id or _variable(surroundings, "AZURE_CLIENT_ID")
    if client is not None and not _GUID.fullmatch(client):
        raise ConfigurationError(
            f"the client id {client!r} is not a GUID",
            remedy="Give the Application (client) ID of the app registration, or the managed identity's client ID.",
        )
    if _GUID.fullmatch(_variable(surroundings, "AZURE_CLIENT_SECRET") or ""):
        raise ConfigurationError(
            "AZURE_CLIENT_SECRET holds a GUID: that is the secret's ID, not its value",
            remedy="Give the secret's value, which Entra shows once, when the secret is made; make a new one.",
        )


def _by_what_is_given(
    options: AzureSignIn, surroundings: Surroundings, excluded: frozenset[Excluded]
) -> AzureCredentialName:
    """What `auto` means here; "auto" where only trying can tell whether Azure CLI or the managed identity signs in."""
    if _variable(surroundings, "AZURE_CLIENT_SECRET") and "client-secret" not in excluded:
        return "client-secret"
    if _connection(options, surroundings) and _variable(surroundings, "SYSTEM_ACCESSTOKEN"):
        return "pipelines"
    if {"cli", "managed-identity"} <= excluded:
        raise ConfigurationError(
            "no credential for Azure is left: Azure CLI and the managed identity are excluded",
            remedy="Give a client secret or a service connection, or shorten ExcludeCredentials in the metadata file.",
        )
    if "cli" in excluded:
        return "managed-identity"
    return "cli" if "managed-identity" in excluded else "auto"


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
