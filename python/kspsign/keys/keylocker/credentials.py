"""The credentials for DigiCert ONE: host, API key and TLS client certificate, in the variables its own tools use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import SecretStr

from kspsign.keys.client_certificate import Advice, ClientCertificate, read_client_certificate
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.text import decode_base64
from kspsign.network.address import shown_url

DEFAULT_TIMEOUT = 30.0
_Part = TypeVar("_Part")
_HOST = re.compile(r"(?:https://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?/?")
_ADVICE: Final = Advice(
    "Give the .p12 that DigiCert ONE created, with certificate and private key: not PEM, not the code-signing "
    "certificate, not its path.",
    "Correct SM_CLIENT_CERT_PASSWORD: a stale value, a trailing blank, a masked '***'; DigiCert ONE shows it once, so "
    "create a new client certificate if it is lost.",
    "Create a new client certificate in DigiCert ONE and update the secrets",
)
_MAP = "Map the secrets into the step: env: { SM_HOST: ..., SM_API_KEY: $(SM_API_KEY), ... }."


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parameters of a connection. `host` is an https URL without path, `timeout` is in seconds."""

    host: str
    api_key: SecretStr
    client: ClientCertificate
    authorities: bytes | None
    timeout: float


def read_credentials(secrets: Mapping[str, SecretStr]) -> Credentials:
    """The credentials in the variables SM_HOST, SM_API_KEY, SM_CLIENT_CERT_FILE or SM_CLIENT_CERT_FILE_B64, and
    SM_CLIENT_CERT_PASSWORD; SM_CA_FILE and SM_CONN_TIMEOUT (milliseconds) may be given.

    Raises PrerequisiteError that names every missing one, or says what is wrong with each; ConfigurationError when only
    SM_HOST is not an https address or SM_CONN_TIMEOUT is not a number.
    """
    given = {name.upper(): secret.get_secret_value().strip("\r\n") for name, secret in secrets.items()}
    needed = ("SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_PASSWORD")
    missing = [name for name in needed if not given.get(name)]
    if not given.get("SM_CLIENT_CERT_FILE") and not given.get("SM_CLIENT_CERT_FILE_B64"):
        missing.append("SM_CLIENT_CERT_FILE (the path) or SM_CLIENT_CERT_FILE_B64 (the content)")
    if missing:
        raise PrerequisiteError(
            f"key store keylocker needs {', '.join(missing)}, which the environment does not have",
            code="KEYLOCKER_CREDENTIALS",
            remedy=_MAP,
        )
    faults: list[KspSignError] = []
    host = _judged(lambda: _host(given["SM_HOST"].strip()), faults)
    api_key = _judged(lambda: _api_key(given["SM_API_KEY"]), faults)
    client = _judged(lambda: _client(given), faults)
    authorities = given.get("SM_CA_FILE") and _judged(lambda: _read(given["SM_CA_FILE"], "SM_CA_FILE"), faults)
    timeout = _judged(lambda: _timeout(given.get("SM_CONN_TIMEOUT")), faults)
    if len(faults) > 1:
        message = "; ".join(fault.message for fault in faults)
        raise PrerequisiteError(message, code=faults[0].code, remedy=" ".join(fault.remedy for fault in faults))
    if host is None or api_key is None or client is None or timeout is None or faults:
        raise faults[0]
    return Credentials(host, api_key, client, authorities or None, timeout)


def _judged(read: Callable[[], _Part], faults: list[KspSignError]) -> _Part | None:
    """What `read` returns; None where it refuses, and its error among `faults`."""
    try:
        return read()
    except (PrerequisiteError, ConfigurationError) as fault:
        faults.append(fault)
        return None


def _api_key(text: str) -> SecretStr:
    if not text.isascii() or not text.isprintable():
        raise PrerequisiteError(
            "SM_API_KEY holds characters that no API key has",
            code="KEYLOCKER_CREDENTIALS",
            remedy="Set SM_API_KEY again, without line breaks or quotation marks.",
        )
    return SecretStr(text)


def _client(given: Mapping[str, str]) -> ClientCertificate:
    content, origin = _pkcs12(given)
    return read_client_certificate(content, given["SM_CLIENT_CERT_PASSWORD"], origin, _ADVICE)


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"SM_HOST is not an https address of a host: {shown_url(text)!r}",
            code="KEYLOCKER_HOST",
            remedy="Set SM_HOST to https://clientauth.one.digicert.com, or your region's clientauth host, without a "
            "path.",
        )
    return f"https://{found[1].lower()}{found[2] or ''}"


def _pkcs12(given: Mapping[str, str]) -> tuple[bytes, str]:
    if given.get("SM_CLIENT_CERT_FILE"):
        return _read(given["SM_CLIENT_CERT_FILE"], "SM_CLIENT_CERT_FILE"), given["SM_CLIENT_CERT_FILE"]
    try:
        return decode_base64(given["SM_CLIENT_CERT_FILE_B64"]), "SM_CLIENT_CERT_FILE_B64"
    except ValueError:
        raise PrerequisiteError(
            "SM_CLIENT_CERT_FILE_B64 is not base64",
            code="CLIENT_CERTIFICATE",
            remedy="Encode the .p12 file: `base64 -w0 client.p12`, or [Convert]::ToBase64String in PowerShell.",
        ) from None  # the cause would carry a part of the secret


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as unreadable:
        if len(path) > 1000:  # most probably the content itself, which is a secret
            path = f"a value of {len(path)} characters"
        reason = (unreadable.strerror if isinstance(unreadable, OSError) else None) or "no such path"
        raise PrerequisiteError(
            f"{variable} names {path}, which can't be read: {reason}",
            code="CLIENT_CERTIFICATE",
            remedy=f"{variable} is a path: download the secure file before this step (DownloadSecureFile@1), or give "
            "the .p12 itself as base64 in SM_CLIENT_CERT_FILE_B64.",
        ) from None  # the cause would repeat it


def _timeout(milliseconds: str | None) -> float:
    if not milliseconds:
        return DEFAULT_TIMEOUT
    if not (milliseconds.isascii() and milliseconds.isdigit()) or int(milliseconds[:9]) == 0:
        raise ConfigurationError(
            f"SM_CONN_TIMEOUT is not a number of milliseconds: {milliseconds!r}",
            remedy="Set it to 30000, or leave it out.",
        )
    return min(int(milliseconds[:9]) / 1000, 600.0)
