"""DigiCert's credentials, as far as they can be examined without showing or sending them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from kspsign.certificates.parse import parse_certificate
from kspsign.doctor.examination import Examined
from kspsign.keys.local.pkcs12 import Pkcs12KeyStore
from kspsign.model.errors import PrerequisiteError, TrustError
from kspsign.model.values import iso_utc
from kspsign.settings.model import Settings

SOON = timedelta(days=30)
_MAP = "Map the secret variable into the step: env: {{ {name}: $({name}) }}."


def examine_credentials(settings: Settings, *, connected: bool) -> Iterator[Examined]:
    """SM_HOST, SM_API_KEY, the client certificate and its password.

    `connected` is what smctl healthcheck says: then what is not in the environment is in the tools' own store.
    """
    host = _value(settings, "SM_HOST")
    if host is not None and urlsplit(host).scheme != "https":
        yield Examined("SM_HOST", "R6", "missing", "is no https URL", "E.g. https://clientauth.one.digicert.com.")
    else:
        yield _given("SM_HOST", host, connected=connected)
    yield _given("SM_API_KEY", _value(settings, "SM_API_KEY"), connected=connected)
    yield _given("SM_CLIENT_CERT_PASSWORD", _value(settings, "SM_CLIENT_CERT_PASSWORD"), connected=connected)
    file = _value(settings, "SM_CLIENT_CERT_FILE")
    if file is None:
        yield _given("SM_CLIENT_CERT_FILE", None, connected=connected)
    else:
        yield _client_certificate(settings, Path(file))


def _given(name: str, value: str | None, *, connected: bool) -> Examined:
    if value is not None:
        return Examined(name, "R6", "ok", "is set")
    if connected:
        return Examined(name, "R6", "ok", "is not set; smctl has it from its own store")
    return Examined(name, "R6", "missing", "is not set", _MAP.format(name=name))


def _client_certificate(settings: Settings, file: Path) -> Examined:
    """The file exists, is PKCS#12, opens with its password, and its certificate is valid."""
    name = "SM_CLIENT_CERT_FILE"
    password = settings.credentials.get("SM_CLIENT_CERT_PASSWORD")
    try:
        opened = Pkcs12KeyStore.open(Settings(key_store="pkcs12", pkcs12=file, password=password), threading.Event())
        leaf = parse_certificate(opened.certificate_chain()[0])
    except PrerequisiteError as unusable:
        remedy = "Give the client certificate (.p12) as a secure file, its password in SM_CLIENT_CERT_PASSWORD."
        return Examined(name, "R6", "missing", unusable.message, remedy)
    except TrustError as unreadable:
        return Examined(name, "R6", "missing", unreadable.message, "Create a new client certificate in DigiCert ONE.")
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    detail = f"opens, valid until {iso_utc(leaf.not_valid_after_utc)}"
    renew = "Create a new client certificate in DigiCert ONE and replace the secure file."
    if left < timedelta(0):
        return Examined(name, "R6", "missing", f"expired on {iso_utc(leaf.not_valid_after_utc)}", renew)
    return Examined(name, "R6", "warning" if left < SOON else "ok", detail, renew if left < SOON else "")


def _value(settings: Settings, name: str) -> str | None:
    secret = settings.credentials.get(name)
    return None if secret is None else secret.get_secret_value()
