"""The credentials of DigiCert's client tools, as far as they can be checked without showing or sending them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.validity import expires_soon
from kspsign.keys.pkcs12.store import Pkcs12KeyStore
from kspsign.keys.prerequisites import Prerequisite
from kspsign.model.errors import PrerequisiteError, TrustError
from kspsign.model.values import iso_utc

_MAP = "Map the secret variable into the step: env: {{ {name}: $({name}) }}."
Secrets = Mapping[str, SecretStr]


def examine_credentials(secrets: Secrets, *, connected: bool) -> Iterator[Prerequisite]:
    """SM_HOST, SM_API_KEY, the client certificate and its password.

    `connected` is what smctl healthcheck says: then what is not in the environment is in the tools' own store.
    """
    host = _value(secrets, "SM_HOST")
    if host is not None and urlsplit(host).scheme != "https":
        yield Prerequisite(
            "SM_HOST", "R6", "missing", "is not an https URL", "E.g. https://clientauth.one.digicert.com."
        )
    else:
        yield _given("SM_HOST", host, connected=connected)
    yield _given("SM_API_KEY", _value(secrets, "SM_API_KEY"), connected=connected)
    yield _given("SM_CLIENT_CERT_PASSWORD", _value(secrets, "SM_CLIENT_CERT_PASSWORD"), connected=connected)
    file = _value(secrets, "SM_CLIENT_CERT_FILE")
    if file is None:
        yield _given("SM_CLIENT_CERT_FILE", None, connected=connected)
    else:
        yield _client_certificate(secrets, Path(file))


def _given(name: str, value: str | None, *, connected: bool) -> Prerequisite:
    if value is not None:
        return Prerequisite(name, "R6", "ok", "is set")
    if connected:
        return Prerequisite(name, "R6", "ok", "is not set; smctl reads it from its own store")
    return Prerequisite(name, "R6", "missing", "is not set", _MAP.format(name=name))


def _client_certificate(secrets: Secrets, file: Path) -> Prerequisite:
    """The file exists, is PKCS#12, opens with its password, and its certificate is valid."""
    name = "SM_CLIENT_CERT_FILE"
    password = secrets.get("SM_CLIENT_CERT_PASSWORD")
    try:
        leaf = parse_certificate(Pkcs12KeyStore.read(file, password).certificate_chain()[0])
    except PrerequisiteError as unusable:
        remedy = "Give the client certificate (.p12) as a secure file, its password in SM_CLIENT_CERT_PASSWORD."
        return Prerequisite(name, "R6", "missing", unusable.message, remedy)
    except TrustError as unreadable:
        return Prerequisite(
            name, "R6", "missing", unreadable.message, "Create a new client certificate in DigiCert ONE."
        )
    now = datetime.now(UTC)
    detail = f"opens, valid until {iso_utc(leaf.not_valid_after_utc)}"
    renew = "Create a new client certificate in DigiCert ONE and replace the secure file."
    if leaf.not_valid_after_utc < now:
        return Prerequisite(name, "R6", "missing", f"expired on {iso_utc(leaf.not_valid_after_utc)}", renew)
    soon = expires_soon(leaf, now)
    return Prerequisite(name, "R6", "warning" if soon else "ok", detail, renew if soon else "")


def _value(secrets: Secrets, name: str) -> str | None:
    secret = secrets.get(name)
    return None if secret is None else secret.get_secret_value()
