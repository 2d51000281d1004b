"""The credential for Azure: by --azure-credential, else by what is given. Secrets come from variables only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ChainedTokenCredential, ManagedIdentityCredential

from kspsign.keys.azure_identity.application import (
    EntraId,
    by_certificate,
    by_github,
    by_secret,
    by_service_connection,
    by_token_file,
)
from kspsign.keys.azure_identity.cli import AzureCli
from kspsign.keys.azure_identity.options import AzureCredentialName, AzureSignIn
from kspsign.keys.azure_identity.sign_in import CONNECTION_SCHEME, MANAGED_IDENTITY_SCHEME, GivenSignIn
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, PrerequisiteError

Excluded = Literal["client-secret", "client-certificate", "workload-identity", "cli", "managed-identity"]
"""What `auto` can be told to leave out."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of credential: how it is opened, whom it signs in (for people), and whether all it needs is given."""

    open: Callable[[GivenSignIn, EntraId], Any]
    who: Callable[[GivenSignIn], str]
    is_given: Callable[[GivenSignIn], bool] = lambda _given: False


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


def open_credential(
    options: AzureSignIn,
    surroundings: Surroundings,
    transport: AzureTransport,
    excluded: frozenset[Excluded] = frozenset(),
    authority: str | None = None,
) -> Any:
    """A TokenCredential; it asks for a token when first used.

    It asks through `transport`, except a managed identity: that is on this machine or link-local, past any proxy.

    `auto` is the first of `_KINDS` for which everything is given, else Azure CLI or, if that is not signed in, the
    managed identity; `excluded` are left out. `authority` is the sign-in host of a sovereign cloud. Raises
    ConfigurationError when a part is missing.
    """
    given = GivenSignIn(options, surroundings)
    return _KINDS[chosen_credential(given, excluded)].open(given, EntraId(transport, authority))


def who_signs_in(options: AzureSignIn, surroundings: Surroundings, excluded: frozenset[Excluded] = frozenset()) -> str:
    """Whom `open_credential` signs in, in words for people; no secret. Raises ConfigurationError as it does."""
    given = GivenSignIn(options, surroundings)
    return _KINDS[chosen_credential(given, excluded)].who(given)


def chosen_credential(given: GivenSignIn, excluded: frozenset[Excluded]) -> AzureCredentialName:
    """What `auto` means here; "auto" where only trying can tell whether Azure CLI or the managed identity signs in.

    Raises ConfigurationError where everything is excluded.
    """
    if given.options.azure_credential != "auto":
        return given.options.azure_credential
    for name, kind in _KINDS.items():
        if name not in excluded and kind.is_given(given):
            return name
    if {"cli", "managed-identity"} <= excluded:
        raise ConfigurationError(
            "no credential for Azure is left: Azure CLI and the managed identity are excluded",
            remedy="Give a client secret or a service connection, or shorten ExcludeCredentials in the metadata file.",
        )
    if "cli" in excluded:
        return "managed-identity"
    return "cli" if "managed-identity" in excluded else "auto"


def _cli(given: GivenSignIn) -> AzureCli:
    return AzureCli(given.surroundings, given.tenant)


def _identity(given: GivenSignIn) -> ManagedIdentityCredential:
    return ManagedIdentityCredential(client_id=given.client or None, use_env_settings=False)


def _application(by: str) -> Callable[[GivenSignIn], str]:
    return lambda given: f"{by} of application {given.application} in tenant {given.tenant}"


def _identity_words(given: GivenSignIn) -> str:
    return f"managed identity {given.client}" if given.client else "the machine's managed identity"


_KINDS: Final[Mapping[AzureCredentialName, _Kind]] = {
    "client-secret": _Kind(
        by_secret, _application("client secret"), lambda given: given.variable("AZURE_CLIENT_SECRET") is not None
    ),
    "client-certificate": _Kind(
        by_certificate,
        _application("client certificate"),
        lambda given: given.certificate_file is not None or given.variable("AZURE_CLIENT_CERTIFICATE") is not None,
    ),
    "managed-identity": _Kind(
        lambda given, _entra: _identity(given),
        _identity_words,
        lambda given: given.variable(CONNECTION_SCHEME) == MANAGED_IDENTITY_SCHEME,
    ),
    "pipelines": _Kind(
        by_service_connection,
        lambda given: _application(f"service connection {given.connection}")(given),
        lambda given: given.connection is not None and given.variable("SYSTEM_ACCESSTOKEN") is not None,
    ),
    "workload-identity": _Kind(
        by_token_file,
        lambda given: _application(f"the token in {given.token_file}")(given),
        lambda given: given.token_file is not None and given.application is not None,
    ),
    "github": _Kind(
        by_github,
        _application("the job's token of GitHub, for federation"),
        lambda given: (
            given.application is not None
            and given.tenant is not None
            and given.variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN") is not None
        ),
    ),
    "cli": _Kind(lambda given, _entra: _cli(given), lambda _given: "the account that Azure CLI is signed in to"),
    "auto": _Kind(
        lambda given, _entra: _CliElseIdentity(_cli(given), _identity(given)),
        lambda given: f"Azure CLI's account, else {_identity_words(given)}",
    ),
}
"""In the order in which `auto` looks what is given."""


def _line(refused: ClientAuthenticationError) -> str:
    return " ".join(str(refused.message).split())[:300]
