"""What a SignServer worker's authorizer wants to see: a login, a bearer token, a TLS client certificate, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import SecretStr

from kspsign.certificates.parse import display_name
from kspsign.keys.client_certificate import Advice, ClientCertificate, read_client_certificate
from kspsign.keys.rest import is_header_token
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.text import decode_base64
from kspsign.network.address import basic

CODE: Final = "SIGNSERVER_CREDENTIALS"
FILE, TEXT = "SIGNSERVER_CLIENT_CERT_FILE", "SIGNSERVER_CLIENT_CERT_FILE_B64"
PASSWORD, USER, SECRET = "SIGNSERVER_CLIENT_CERT_PASSWORD", "SIGNSERVER_USERNAME", "SIGNSERVER_PASSWORD"
TOKEN = "SIGNSERVER_TOKEN"  # noqa: S105 - a name
_LONGEST_PATH = 1000
_ADVICE: Final = Advice(
    "Give the client certificate with its private key, as PKCS#12 or as PEM.",
    f"Correct {PASSWORD}: a stale value, a trailing blank, a masked '***'.",
    "Have a new client certificate issued and update the secrets",
)


@dataclass(frozen=True, slots=True)
class SignServerCredentials:
    """`authorization` is the header's value, None for none; `shown` says for people what there is.

    `secrets` are the texts that must not reach a log.
    """

    authorization: str | None = field(repr=False)
    client: ClientCertificate | None
    shown: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, SecretStr]) -> Self:
        """From the variables SIGNSERVER_*.

        Raises ConfigurationError when some are missing or exclude each other, PrerequisiteError when a client
        certificate can't be used.
        """
        given = {name: secret.get_secret_value().strip("\r\n") for name, secret in environment.items()}
        _check_complete(given)
        authorization, who, secrets = None, [], [given.get(PASSWORD, "")]
        if given.get(USER):
            authorization, who = basic(given[USER], given[SECRET]), [f"user {given[USER]}"]
            secrets += [authorization.partition(" ")[2], given[SECRET]]
        elif given.get(TOKEN):
            authorization, who = f"Bearer {_token(given[TOKEN])}", ["a bearer token"]
            secrets.append(given[TOKEN])
        client = _client(given)
        if client is not None:
            who.append(f"client certificate {display_name(client.chain[0])}")
        shown = ", ".join(who) or "none: the worker must admit this machine as it is"
        return cls(authorization, client, shown, tuple(filter(None, secrets)))


def _check_complete(given: Mapping[str, str]) -> None:
    if bool(given.get(USER)) != bool(given.get(SECRET)):
        there, lacking = (USER, SECRET) if given.get(USER) else (SECRET, USER)
        raise _wrong(f"{there} is set and {lacking} is not", "A login has both; map both into the step.")
    if given.get(USER) and given.get(TOKEN):
        raise _wrong(f"{USER} and {TOKEN} exclude each other", "Map the login or the token into the step, not both.")
    if given.get(FILE) and given.get(TEXT):
        raise _wrong(
            f"{FILE} and {TEXT} exclude each other", "Give the client certificate once: a path or the content."
        )
    if given.get(PASSWORD) and not (given.get(FILE) or given.get(TEXT)):
        raise _wrong(f"{PASSWORD} is set and the client certificate is not", f"Set {FILE} (a path) or {TEXT} as well.")


def _token(text: str) -> str:
    if not is_header_token(text):
        raise _wrong(
            f"{TOKEN} holds characters that no token has", f"Set {TOKEN} again, without blanks or line breaks."
        )
    return text


def _client(given: Mapping[str, str]) -> ClientCertificate | None:
    password = given.get(PASSWORD) or None
    if given.get(FILE):
        origin = given[FILE]
        return read_client_certificate(_read(origin), password, origin, _ADVICE, pem=True)
    if not given.get(TEXT):
        return None
    text = given[TEXT]
    try:
        content = text.encode() if "PRIVATE KEY-----" in text else decode_base64(text)
    except ValueError:
        raise PrerequisiteError(
            f"{TEXT} is not base64",
            code="CLIENT_CERTIFICATE",
            remedy="Encode the file: `base64 -w0 client.p12`, or [Convert]::ToBase64String in PowerShell.",
        ) from None  # the cause would carry a part of the secret
    return read_client_certificate(content, password, TEXT, _ADVICE, pem=True)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as unreadable:
        if len(path) > _LONGEST_PATH or "\n" in path:  # most probably the content itself, which is a secret
            path = f"a value of {len(path)} characters"
        reason = (unreadable.strerror if isinstance(unreadable, OSError) else None) or "no such path"
        raise PrerequisiteError(
            f"{FILE} names {path}, which can't be read: {reason}",
            code="CLIENT_CERTIFICATE",
            remedy=f"{FILE} is a path: download the secure file before this step (DownloadSecureFile@1), or give the "
            f"file itself as base64 in {TEXT}.",
        ) from None  # the cause would repeat it


def _wrong(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"the credentials for SignServer: {what}", code=CODE, remedy=remedy)
