"""The credentials of DigiCert's client tools, as far as they can be examined without showing or sending them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from kspsign.keys.pkcs12.store import Pkcs12KeyStore
from kspsign.keys.prerequisites import Prerequisite, examine_certificate, failed, not_checked, passed
from kspsign.model.errors import ConfigurationError, PrerequisiteError

CLIENT_CERTIFICATE: Final = "client certificate"
_MAP = "Map the secret variable into the step: env: {{ {name}: $({name}) }}."
_OWN_STORE = "is not set; smctl has it from its own store, where it is not looked at"
Secrets = Mapping[str, SecretStr]


def examine_credentials(secrets: Secrets, *, connected: bool) -> Iterator[Prerequisite]:
    """SM_HOST, SM_API_KEY, the client certificate and its password.

    `connected` is what smctl healthcheck says: then what is not in the environment is in the tools' own store.
    """
    host = _value(secrets, "SM_HOST")
    if host is not None and (urlsplit(host).scheme != "https" or not urlsplit(host).hostname):
        remedy = "Set it to https://clientauth.one.digicert.com or your region's clientauth host."
        yield failed("SM_HOST", _wrong("SM_HOST is not an https URL", remedy))
    else:
        yield _given("SM_HOST", host, connected=connected)
    key = _value(secrets, "SM_API_KEY")
    if key is not None and re.search(r"\s|[^\x20-\x7e]", key):
        remedy = "Set the secret again, without line breaks, blanks or quotation marks."
        yield failed("SM_API_KEY", _wrong("SM_API_KEY holds characters that no API key has", remedy))
    else:
        yield _given("SM_API_KEY", key, connected=connected)
    yield _given("SM_CLIENT_CERT_PASSWORD", _value(secrets, "SM_CLIENT_CERT_PASSWORD"), connected=connected)
    file = _value(secrets, "SM_CLIENT_CERT_FILE")
    yield _given("SM_CLIENT_CERT_FILE", file, connected=connected)
    if file is None:
        yield not_checked(CLIENT_CERTIFICATE, "SM_CLIENT_CERT_FILE does not name it")
    else:
        yield _client_certificate(secrets, Path(file))


def _given(name: str, value: str | None, *, connected: bool) -> Prerequisite:
    if value is not None:
        return passed(name, "is set")
    if connected:
        return not_checked(name, _OWN_STORE)
    return failed(name, _wrong(f"{name} is not set", _MAP.format(name=name)))


def _client_certificate(secrets: Secrets, file: Path) -> Prerequisite:
    """The file exists, is PKCS#12, opens with its password, and its certificate is valid."""
    try:
        chain = Pkcs12KeyStore.read(file, secrets.get("SM_CLIENT_CERT_PASSWORD")).certificate_chain()
    except PrerequisiteError as unusable:
        remedy = "Give the client certificate (.p12) as a secure file, its password in SM_CLIENT_CERT_PASSWORD."
        return failed(CLIENT_CERTIFICATE, _wrong(unusable.message, remedy))
    found = examine_certificate(chain, CLIENT_CERTIFICATE)
    renew = "Create a new client certificate in DigiCert ONE and replace the secure file." if found.remedy else ""
    return replace(found, chain=(), remedy=renew)


def _wrong(message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, code="CLIENT_CREDENTIALS", remedy=remedy)


def _value(secrets: Secrets, name: str) -> str | None:
    secret = secrets.get(name)
    return None if secret is None else secret.get_secret_value()
