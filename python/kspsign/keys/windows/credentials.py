"""The credentials of DigiCert's client tools, as far as they can be checked without showing or sending them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from kspsign.keys.pkcs12.store import Pkcs12KeyStore
from kspsign.keys.prerequisites import CREDENTIALS, Prerequisite, examine_certificate, failed, not_checked, passed
from kspsign.model.errors import ConfigurationError, PrerequisiteError

CLIENT_CERTIFICATE: Final = "client certificate"
_MAP = "Map the secret variable into the step: env: {{ {name}: $({name}) }}."
_VARIABLES = ("SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_PASSWORD", "SM_CLIENT_CERT_FILE")
Secrets = Mapping[str, SecretStr]


def examine_credentials(secrets: Secrets, *, connected: bool) -> Iterator[Prerequisite]:
    """SM_HOST, SM_API_KEY, the client certificate and its password; a line for each that is wrong.

    `connected` is what smctl healthcheck says: then what is not in the environment is in the tools' own store.
    """
    wrong = [*_faults(secrets, connected=connected)]
    for error in wrong:
        yield failed(CREDENTIALS, error)
    elsewhere = [name for name in _VARIABLES if _value(secrets, name) is None]
    if not wrong and elsewhere:
        yield not_checked(CREDENTIALS, f"smctl has {', '.join(elsewhere)} from its own store")
    elif not wrong:
        yield passed(CREDENTIALS, f"{', '.join(_VARIABLES)} are set")
    file = _value(secrets, "SM_CLIENT_CERT_FILE")
    if file is None:
        yield not_checked(CLIENT_CERTIFICATE, "SM_CLIENT_CERT_FILE is not set")
    else:
        yield _client_certificate(secrets, Path(file))


def _faults(secrets: Secrets, *, connected: bool) -> Iterator[ConfigurationError]:
    for name in _VARIABLES:
        if _value(secrets, name) is None and not connected:
            yield _wrong(f"{name} is not set", _MAP.format(name=name))
    host, key = _value(secrets, "SM_HOST"), _value(secrets, "SM_API_KEY")
    if host is not None and (urlsplit(host).scheme != "https" or not urlsplit(host).hostname):
        remedy = "Set it to https://clientauth.one.digicert.com or your region's clientauth host."
        yield _wrong("SM_HOST is not an https URL", remedy)
    if key is not None and re.search(r"[^\x21-\x7e]", key):
        remedy = "Set the secret again, without line breaks, blanks or quotation marks."
        yield _wrong("SM_API_KEY holds characters that no API key has", remedy)


def _client_certificate(secrets: Secrets, file: Path) -> Prerequisite:
    """The file exists, is PKCS#12, opens with its password, and its certificate is valid."""
    try:
        chain = Pkcs12KeyStore.read(file, secrets.get("SM_CLIENT_CERT_PASSWORD")).certificate_chain()
    except PrerequisiteError as unusable:
        remedy = "Give the client certificate (.p12) as a secure file, its password in SM_CLIENT_CERT_PASSWORD."
        return failed(CLIENT_CERTIFICATE, _wrong(unusable.message, remedy))
    found = examine_certificate(chain, CLIENT_CERTIFICATE)
    renew = "Create a new client certificate in DigiCert ONE and replace the secure file." if found.remedy else ""
    return found._replace(chain=(), remedy=renew)


def _wrong(message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, code="KEYLOCKER_CREDENTIALS", remedy=remedy)


def _value(secrets: Secrets, name: str) -> str | None:
    secret = secrets.get(name)
    return None if secret is None else secret.get_secret_value()
