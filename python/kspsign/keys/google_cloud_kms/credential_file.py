"""A credential file of Google Cloud: a service account's key, or how to federate another identity (external_account).

https://google.aip.dev/auth/4112, https://google.aip.dev/auth/4117
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kspsign.keys.google_cloud_kms.errors import no_credential
from kspsign.keys.google_cloud_kms.tokens import TOKEN_URL, AccessToken, TokenClient
from kspsign.keys.rest import USER_AGENT, Silence, send
from kspsign.model.errors import PrerequisiteError
from kspsign.network.exchange import Question
from kspsign.network.failures import status_text
from kspsign.network.pool import Pool

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def from_file(path: Path, tokens: TokenClient, pool: Pool) -> tuple[str, Callable[[], AccessToken]]:
    """Who signs in by this file, in words, and what gets a token. Raises PrerequisiteError for a file of another kind,
    or one that can't be read."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as unreadable:
        raise _wrong(path, f"can't be read: {unreadable.strerror or unreadable}") from unreadable
    except (ValueError, RecursionError) as broken:
        raise _wrong(path, "is not JSON") from broken
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "service_account":
        return _service_account(path, content, tokens)
    if kind == "external_account":
        return _external(path, content, tokens, pool)
    raise _wrong(path, f"is of type {kind!r}, and not service_account or external_account")


def _service_account(
    path: Path, content: Mapping[str, Any], tokens: TokenClient
) -> tuple[str, Callable[[], AccessToken]]:
    email, pem = _needed(path, content, "client_email"), _needed(path, content, "private_key")
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
        raise _wrong(path, "holds no private key that can be read") from broken
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _wrong(path, "holds no RSA key")
    url = _url(path, str(content.get("token_uri") or TOKEN_URL))
    get = partial(tokens.by_service_account, email, key, str(content.get("private_key_id", "")), url)
    return f"service account {email} of {path}", get


def _external(
    path: Path, content: Mapping[str, Any], tokens: TokenClient, pool: Pool
) -> tuple[str, Callable[[], AccessToken]]:
    source = content.get("credential_source")
    if not isinstance(source, dict) or not (source.get("file") or source.get("url")) or "environment_id" in source:
        raise _wrong(path, "has a credential_source other than a file or a URL: no program is run, and no AWS is asked")
    audience, kind = _needed(path, content, "audience"), _needed(path, content, "subject_token_type")
    exchange = _url(path, _needed(path, content, "token_url"))
    impersonation = content.get("service_account_impersonation_url")
    account = None if impersonation is None else _url(path, str(impersonation))

    def get() -> AccessToken:
        federated = tokens.by_exchange(_subject(path, source, pool), kind, audience, exchange)
        return federated if account is None else tokens.by_impersonation(federated, account)

    who = f"{audience.rpartition('/')[2]} of {path}"
    return who if account is None else f"{account.rpartition('/')[2].partition(':')[0]} for {who}", get


def _subject(path: Path, source: Mapping[str, Any], pool: Pool) -> str:
    """The host's own token, read or asked for each time."""
    place = str(source.get("file") or source.get("url"))
    if source.get("file"):
        try:
            text = Path(place).read_text("utf-8")
        except (OSError, ValueError) as unreadable:
            raise no_credential(f"the token in {place}", str(unreadable)) from unreadable
    else:
        headers = source.get("headers") if isinstance(source.get("headers"), dict) else {}
        own = {str(name): str(value) for name, value in (headers or {}).items()}
        question = Question("GET", _url(path, place), None, {"User-Agent": USER_AGENT, **own})
        answer = send(pool, question, secrets=tuple(own.values()))
        where = f"the token at {urlsplit(place).hostname}"
        if isinstance(answer, Silence):
            raise no_credential(where, answer.reason)
        if answer.status != 200:
            raise no_credential(where, status_text(answer.status))
        text = answer.body.decode("utf-8", "replace")
    return _of_format(text, source.get("format"), place)


def _of_format(text: str, described: Any, place: str) -> str:
    where, found = f"the token of {urlsplit(place).hostname or place}", text
    if isinstance(described, dict) and described.get("type") == "json":
        try:
            found = str(json.loads(text)[described["subject_token_field_name"]])
        except (ValueError, KeyError, TypeError, RecursionError) as broken:
            raise no_credential(where, "it is not in the JSON") from broken
    if not found.strip():
        raise no_credential(where, "it is empty")
    return found.strip()


def _url(path: Path, url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or "@" in parts.netloc:
        raise _wrong(path, f"names {url!r}, which is not an https address")
    return url


def _needed(path: Path, content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(path, f"has no {name}")
    return value


def _wrong(path: Path, what: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the credential file {path} {what}",
        code="GOOGLE_CREDENTIAL_FILE",
        remedy="Name a service account's key or the configuration of a workload identity pool (gcloud iam "
        "workload-identity-pools create-cred-config) with --google-credentials.",
    )
