"""The sign-in to Google Cloud: a provider that trusts the pipeline, a credential file, or the machine's own account."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from kspsign.keys.google_cloud_kms.credential_file import from_file
from kspsign.keys.google_cloud_kms.errors import ERRORS, no_credential
from kspsign.keys.google_cloud_kms.options import GoogleKmsOptions
from kspsign.keys.google_cloud_kms.tokens import SCOPE, AccessToken, TokenClient, read_token
from kspsign.keys.machine_lookup import MachineLookup
from kspsign.keys.pipeline_identity import pipeline_identity
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import read_object
from kspsign.model.errors import ConfigurationError
from kspsign.network.pool import Pool

_PROVIDER: Final = re.compile(r"projects/\d+/locations/global/workloadIdentityPools/[\w-]+/providers/[\w-]+", re.ASCII)
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)
_METADATA_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?")
_STS: Final = "https://sts.googleapis.com/v1/token"
_IAM: Final = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_RENEWED_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Who signs in, in words, and what gets a token; it raises PrerequisiteError, CancelledError."""

    who: str
    get: Callable[[], AccessToken] = field(repr=False)


class GoogleCredential:
    """The tokens of a source, asked for when needed; safe to share between threads."""

    def __init__(self, source: TokenSource) -> None:
        self.who = source.who
        self._source, self._lock = source, threading.Lock()
        self._token: AccessToken | None = None

    def get(self) -> str:
        """A token that is valid now. Raises PrerequisiteError when the source gives none, CancelledError."""
        with self._lock:
            if self._token is None or self._token.end - time.time() < _RENEWED_SECONDS:
                self._token = self._source.get()
            return self._token.value


def find_source(options: GoogleKmsOptions, surroundings: Surroundings, pool: Pool) -> TokenSource:
    """The first that is set up here. Raises ConfigurationError when one is set up by half; PrerequisiteError for a
    credential file that can't be used."""
    given = {name: value.get_secret_value() for name, value in surroundings.environment.items()}
    tokens = TokenClient(pool, surroundings.cancelled.wait)
    if options.google_workload_provider is not None:
        return _by_pipeline(options, surroundings, pool, tokens)
    if options.google_service_account is not None:
        raise ConfigurationError(
            "--google-service-account is given, and no provider to impersonate it by",
            remedy="Name the provider with --google-workload-provider; a credential file names its own account.",
        )
    lookup = MachineLookup(surroundings.network, surroundings.cancelled.wait, no_credential)
    variable = given.get("GOOGLE_APPLICATION_CREDENTIALS")
    file = options.google_credentials or (Path(variable) if variable else None)
    if file is not None:
        return TokenSource(*from_file(file, tokens, pool))
    return _of_machine(given, lookup)


def _by_pipeline(options: GoogleKmsOptions, surroundings: Surroundings, pool: Pool, tokens: TokenClient) -> TokenSource:
    provider = (options.google_workload_provider or "").removeprefix("//iam.googleapis.com/")
    if not _PROVIDER.fullmatch(provider):
        raise ConfigurationError(
            f"{provider!r} is not a workload identity provider",
            remedy="Give its name with the project's number: "
            "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.",
        )
    account = options.google_service_account
    if account is not None and not _EMAIL.fullmatch(account):
        raise ConfigurationError(
            f"{account!r} is not a service account",
            remedy="Give its email address: NAME@PROJECT.iam.gserviceaccount.com.",
        )
    vouched = pipeline_identity(options, surroundings, pool, f"https://iam.googleapis.com/{provider}")
    if vouched is None:
        raise ConfigurationError(
            "there is no OIDC token for the workload identity provider",
            remedy="In Azure Pipelines name a service connection with workload identity federation "
            "(--azure-connection-id) and map SYSTEM_ACCESSTOKEN; in GitHub Actions give the job `permissions: "
            "id-token: write`.",
        )

    def get() -> AccessToken:
        federated = tokens.by_exchange(vouched.token(), _JWT, f"//iam.googleapis.com/{provider}", _STS)
        return (
            federated
            if account is None
            else tokens.by_impersonation(federated, f"{_IAM}/{account}:generateAccessToken")
        )

    who = f"{vouched.who} by {provider.rpartition('/')[2]}"
    return TokenSource(who if account is None else f"service account {account} for {who}", get)


def _of_machine(given: Mapping[str, str], lookup: MachineLookup) -> TokenSource:
    host = given.get("GCE_METADATA_HOST") or "metadata.google.internal"
    if not _METADATA_HOST.fullmatch(host):
        raise ConfigurationError(
            f"GCE_METADATA_HOST is {host!r}, which is not a host", remedy="Give HOST or HOST:PORT, or remove it."
        )
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}"
    who = "the machine's service account (metadata server)"
    return TokenSource(who, partial(_machine_token, lookup, url, who))


def _machine_token(lookup: MachineLookup, url: str, who: str) -> AccessToken:
    answer = lookup.ask("GET", url, {"Metadata-Flavor": "Google"}, who)
    if answer.headers.get("metadata-flavor") != "Google":
        raise no_credential(who, "what answers is not Google's metadata server")
    asked = f"a token of {who}"
    return read_token(read_object(answer.body, asked, ERRORS), asked)
