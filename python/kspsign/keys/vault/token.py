"""The token for Vault: given, or from a sign-in by AppRole, JWT or Kubernetes, which is repeated before it ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kspsign.keys.pipeline_identity import PipelineIdentity, pipeline_identity
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import is_header_token
from kspsign.keys.vault.errors import no_sign_in
from kspsign.keys.vault.options import VaultAuthName, VaultOptions
from kspsign.keys.vault.server import VaultServer, checked_path
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.network.pool import Pool
from kspsign.settings.store_options import secret_text

KUBERNETES_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_LONGEST = 1 << 16
_EXCHANGE_SECONDS = 30.0
_UNKNOWN_TOKEN = ("invalid token", "bad token")
"""Vault's words for a token that it does not know; a known one without the right gets "permission denied" alone."""
_LONGEST_LIFE = 1 << 30
_RENEWED_PART = 0.2
"""The part of a token's life that is left when it is renewed."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """How a token is got: `method` as in --vault-auth, `where` in words. `login` gives what the method's path is sent;
    for a token that is given it is the token."""

    method: VaultAuthName
    path: str
    where: str
    login: Callable[[], dict[str, str]]

    def __str__(self) -> str:
        return f"{self.method}, {self.where}"


def find_sign_in(options: VaultOptions, surroundings: Surroundings, address: str) -> SignIn:
    """The sign-in that the options choose, `auto` by what is given; no request is sent. Raises ConfigurationError."""
    method = options.vault_auth if options.vault_auth != "auto" else _given(options, surroundings)
    path = checked_path("--vault-auth-mount", options.vault_auth_mount or method)
    if method == "token":
        token = _variable(surroundings, "VAULT_TOKEN")
        if token is not None:
            _check_token(token)
            return SignIn(method, "", "VAULT_TOKEN", lambda: {"token": token})
        file = options.vault_token_file or _own_token_file(surroundings)
        if file is None:
            raise _needed("VAULT_TOKEN", "or --vault-token-file")
        return SignIn(method, "", f"the file {file}", lambda: {"token": read_secret(file)})
    role = options.vault_role
    if role is None:
        raise ConfigurationError(
            f"the sign-in to Vault by {method} needs the role",
            remedy="Give it with --vault-role; for AppRole that is the role id.",
        )
    if method == "approle":
        secret = _variable(surroundings, "VAULT_SECRET_ID")
        if secret is None:
            raise _needed("VAULT_SECRET_ID", "the AppRole's secret id")
        return SignIn(method, path, "VAULT_SECRET_ID", lambda: {"role_id": role, "secret_id": secret})
    where, jwt = _jwt(method, options, surroundings, address)
    return SignIn(method, path, f"role {role}, {where}", lambda: {"role": role, "jwt": jwt()})


class VaultToken:
    """The token of a sign-in; safe to share between threads."""

    def __init__(self, server: VaultServer, sign_in: SignIn) -> None:
        self.server, self.sign_in = server, sign_in
        self._lock = threading.Lock()
        self._token, self._end, self._lifetime = "", 0.0, 0.0
        self._renewable = False

    def get(self) -> str:
        """The token. Raises PrerequisiteError when Vault refuses the sign-in, CancelledError."""
        with self._lock:
            if not self._token:
                self._begin()
            elif self._lifetime and self._end - time.monotonic() < self._lifetime * _RENEWED_PART:
                self._again()
            return self._token

    def replaced(self, refused: str) -> bool:
        """Whether there is another token than the `refused` one now: a login may be repeated, a given token not."""
        if self.sign_in.method == "token":
            return False
        with self._lock:
            if self._token == refused:
                self._begin()
            return self._token != refused

    def facts(self) -> str:
        """What Vault says of the token (lookup-self), for people; the sign-in itself. Raises PrerequisiteError."""
        token = self.get()
        try:
            said = self.server.request("GET", "auth/token/lookup-self", None, token, "what the token is")
        except PrerequisiteError as refused:
            if refused.code != "VAULT_FORBIDDEN":
                raise
            if any(words in refused.message for words in _UNKNOWN_TOKEN):
                raise no_sign_in(
                    f"Vault does not know the token of {self.sign_in.where}: {refused.message}"
                ) from refused
            return f"sign-in by {self.sign_in.method}; the token may not look itself up"
        data = said.get("data")
        if not isinstance(data, dict):
            return "Vault accepts the token"
        ttl, policies = data.get("ttl"), data.get("policies")
        life = f"{ttl} s left" if isinstance(ttl, int) and ttl > 0 else "it does not expire"
        names = ", ".join(map(str, policies)) if isinstance(policies, list) else ""
        return f"Vault accepts the token: {life}" + (f"; policies {names}" if names else "")

    def _begin(self) -> None:
        given = self.sign_in.login()
        if self.sign_in.method == "token":
            self._token = given["token"]
            self._look_up()
            return
        path, asked = f"auth/{self.sign_in.path}/login", f"a token by {self.sign_in}"
        try:
            self._take(self.server.request("POST", path, given, None, asked))
        except PrerequisiteError as refused:
            if refused.code in {"VAULT_FORBIDDEN", "VAULT_REFUSED", "VAULT_NOT_FOUND"}:
                raise no_sign_in(refused.message) from refused
            raise

    def _look_up(self) -> None:
        """How long the given token lives; one that may not ask that is used as it is."""
        try:
            said = self.server.request("GET", "auth/token/lookup-self", None, self._token, "what the token is").get(
                "data"
            )
        except PrerequisiteError as refused:
            if refused.code != "VAULT_FORBIDDEN":
                raise
            return
        if isinstance(said, dict):
            self._live(said.get("ttl"), renewable=said.get("renewable") is True)

    def _again(self) -> None:
        """A token that goes on: a login again, else a renewal; one that can't be renewed is used to its end."""
        if self.sign_in.method != "token":
            try:
                self._begin()
            except PrerequisiteError:
                if time.monotonic() >= self._end:
                    raise  # until then the old one still holds
        elif self._renewable:
            try:
                self._take(self.server.request("POST", "auth/token/renew-self", {}, self._token, "the token's renewal"))
            except PrerequisiteError:
                self._renewable, self._lifetime = False, 0.0

    def _take(self, said: Mapping[str, Any]) -> None:
        auth = said.get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not is_header_token(token):
            raise no_sign_in(f"Vault's answer to the sign-in by {self.sign_in} holds no token")
        self._token = token
        self._live(auth.get("lease_duration"), renewable=auth.get("renewable") is True)

    def _live(self, seconds: object, *, renewable: bool) -> None:
        self._lifetime = float(min(seconds, _LONGEST_LIFE)) if isinstance(seconds, int) else 0.0
        self._end, self._renewable = time.monotonic() + self._lifetime, renewable


def read_secret(file: Path) -> str:
    """The one token in a file. Raises PrerequisiteError."""
    try:
        content = file.read_bytes()
        text = secret_text(content.decode("ascii")).get_secret_value().strip() if len(content) <= _LONGEST else ""
    except OSError as unreadable:
        raise no_sign_in(f"the file {file} can't be read: {unreadable.strerror or unreadable}") from unreadable
    except UnicodeDecodeError:
        text = ""
    if not text or any(char.isspace() for char in text):
        raise no_sign_in(f"the file {file} does not hold a token, and nothing else")
    return text


def _given(options: VaultOptions, surroundings: Surroundings) -> VaultAuthName:
    if _variable(surroundings, "VAULT_TOKEN"):
        return "token"
    if _variable(surroundings, "VAULT_SECRET_ID"):
        return "approle"
    if _variable(surroundings, "VAULT_JWT"):
        return "jwt"
    with _identity(options, surroundings, "") as vouched:
        return "jwt" if options.vault_role is not None and vouched is not None else "token"


def _jwt(
    method: VaultAuthName, options: VaultOptions, surroundings: Surroundings, address: str
) -> tuple[str, Callable[[], str]]:
    given = _variable(surroundings, "VAULT_JWT")
    file = options.vault_token_file or (KUBERNETES_FILE if method == "kubernetes" else None)
    if given is not None and method == "jwt":
        return "VAULT_JWT", lambda: given
    if file is not None:
        return f"the file {file}", lambda: read_secret(file)
    audience = options.vault_audience or address

    def ask() -> str:
        with _identity(options, surroundings, audience) as vouched:
            if vouched is None:
                raise AssertionError  # there was one when it was chosen
            return vouched.token()

    with _identity(options, surroundings, audience) as found:
        if found is None:
            more = "or --vault-token-file, an Azure RM service connection, or a GitHub job with id-token: write"
            raise _needed("VAULT_JWT", more)
        return f"the OIDC token of {found.who}", ask


@contextlib.contextmanager
def _identity(options: VaultOptions, surroundings: Surroundings, audience: str) -> Iterator[PipelineIdentity | None]:
    """Whom the pipeline vouches for; its token is asked for within the block. Raises ConfigurationError."""
    with contextlib.closing(Pool(surroundings.network, deadline=_EXCHANGE_SECONDS)) as pool:
        yield pipeline_identity(options, surroundings, pool, audience)


def _own_token_file(surroundings: Surroundings) -> Path | None:
    """What `vault login` leaves."""
    home = surroundings.agent_environment.get("HOME") or surroundings.agent_environment.get("USERPROFILE")
    file = Path(home) / ".vault-token" if home else None
    return file if file is not None and file.is_file() else None


def _variable(surroundings: Surroundings, name: str) -> str | None:
    value = surroundings.environment.get(name)
    return None if value is None else value.get_secret_value().strip()


def _check_token(token: str) -> None:
    if not is_header_token(token):
        raise ConfigurationError(
            "VAULT_TOKEN is not one token: it holds blanks, line breaks or other characters that no token has",
            remedy="Set VAULT_TOKEN to the token alone, as `vault token create -field=token` prints it.",
        )


def _needed(name: str, more: str) -> ConfigurationError:
    return ConfigurationError(
        f"the sign-in to Vault needs {name} ({more})",
        remedy=f"Map the secret into the step: env: {{ {name}: $(...) }}, or choose another --vault-auth.",
    )
