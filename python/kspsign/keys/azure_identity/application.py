"""An application of Entra ID signs in: by a secret, a certificate, or the token of a provider that it trusts."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzurePipelinesCredential,
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
)

from kspsign.keys.azure_identity.sign_in import GivenSignIn
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.github_token import GitHubToken
from kspsign.model.errors import ConfigurationError, PrerequisiteError


@dataclass(frozen=True, slots=True)
class EntraId:
    """How Entra ID is reached: through `transport`, at `authority`, or where AZURE_AUTHORITY_HOST says, else in the
    public cloud."""

    transport: AzureTransport
    authority: str | None = None


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


def by_service_connection(given: GivenSignIn, entra: EntraId) -> Any:
    """Workload identity federation of an Azure RM connection, whose token the pipeline asks for."""
    if not given.variable("SYSTEM_OIDCREQUESTURI"):
        raise ConfigurationError(
            "workload identity federation needs SYSTEM_OIDCREQUESTURI, which the agent of Azure Pipelines sets",
            remedy="Run it in a step of Azure Pipelines, or choose another --azure-credential.",
        )
    tenant, client = given.needed_application()
    return _Federation(
        tenant_id=tenant,
        client_id=client,
        service_connection_id=given.needed(given.connection, "azure_connection_id"),
        system_access_token=given.needed(given.variable("SYSTEM_ACCESSTOKEN"), "SYSTEM_ACCESSTOKEN"),
        transport=entra.transport,
        authority=entra.authority,
    )


def by_secret(given: GivenSignIn, entra: EntraId) -> Any:
    """The application's secret."""
    tenant = given.needed(given.tenant, "azure_tenant_id")
    client = given.needed(given.client, "azure_client_id")
    secret = given.needed(given.variable("AZURE_CLIENT_SECRET"), "AZURE_CLIENT_SECRET")
    return ClientSecretCredential(tenant, client, secret, transport=entra.transport, authority=entra.authority)


def by_certificate(given: GivenSignIn, entra: EntraId) -> Any:
    """The application's certificate and key: PEM, or PKCS#12 with its password."""
    tenant, client = given.needed_application()
    password = given.variable("AZURE_CLIENT_CERTIFICATE_PASSWORD")
    try:
        return CertificateCredential(
            tenant,
            client,
            certificate_data=_certificate(given),
            password=password,
            transport=entra.transport,
            authority=entra.authority,
        )
    except ValueError as unusable:
        raise ConfigurationError(
            f"the certificate for the sign-in to Azure can't be used: {' '.join(str(unusable).split())[:200]}",
            remedy="Give certificate and private key in one file (PEM or PKCS#12), and an encrypted one's password "
            "in AZURE_CLIENT_CERTIFICATE_PASSWORD.",
        ) from unusable


def by_token_file(given: GivenSignIn, entra: EntraId) -> Any:
    """Workload identity federation with the token that the host keeps in a file, read for each sign-in."""
    file = Path(given.needed(given.variable("AZURE_FEDERATED_TOKEN_FILE"), "AZURE_FEDERATED_TOKEN_FILE"))
    return _assertion(given, entra, lambda: _token_in(file))


def by_github(given: GivenSignIn, entra: EntraId) -> Any:
    """Workload identity federation with the token that GitHub gives a job."""
    url = given.variable("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = given.variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url is None or bearer is None:
        raise ConfigurationError(
            "the sign-in by GitHub's token needs ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN, which a job has that may ask "
            "for one",
            remedy="Let the job ask for its token (permissions: { id-token: write, contents: read }), or choose "
            "another --azure-credential.",
        )
    return _assertion(given, entra, GitHubToken(url, bearer, given.surroundings.network))


def _assertion(given: GivenSignIn, entra: EntraId, token: Callable[[], str]) -> Any:
    tenant, client = given.needed_application()
    return ClientAssertionCredential(tenant, client, token, transport=entra.transport, authority=entra.authority)


def _token_in(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise _no_token(file, f"can't be read: {getattr(unreadable, 'strerror', None) or 'it is not text'}") from None
    if not token:
        raise _no_token(file, "is empty")
    return token


def _no_token(file: Path, why: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the token of workload identity federation (AZURE_FEDERATED_TOKEN_FILE, {file}) {why}",
        code="AZURE_SIGN_IN",
        remedy="Check that the workload identity is set up for this agent and its token is mounted, or choose "
        "another --azure-credential.",
    )


def _certificate(given: GivenSignIn) -> bytes:
    """The content of the file, or of a service connection's certificate: PEM, or PKCS#12 in base64."""
    file = given.certificate_file
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as unreadable:
            raise ConfigurationError(
                f"the certificate for the sign-in to Azure can't be read: {unreadable.strerror or unreadable}",
                remedy="Check the path, and that this user may read it.",
                file=str(file),
            ) from unreadable
    text = given.needed(given.variable("AZURE_CLIENT_CERTIFICATE"), "AZURE_CLIENT_CERTIFICATE_PATH")
    if "-----BEGIN" in text:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
