"""One Vault: its address and namespace, and requests to it (v1 of the HTTP API), repeated where that is free."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kspsign.keys.attempts import Attempts
from kspsign.keys.rest import USER_AGENT, Silence, retry_after, send, without
from kspsign.keys.vault.errors import ERRORS, UnusableReplyError, refusal
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_EXCHANGE_SECONDS = 60.0
PASSING: Final = frozenset({412, 429, 472, 473, 502, 503, 504})
"""Refusals that may not last: busy, sealed, a standby, a node that has not seen a write yet, a gateway."""


def parse_address(text: str) -> str:
    """The URL without a slash at its end. Raises ConfigurationError for what is not one, and for plain HTTP to another
    machine: a token would be sent in the clear."""
    parts = urlsplit(text.strip())
    try:
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"{text!r} is not the URL of a Vault", remedy="Give --vault-address as https://HOST:8200, without a login."
        )
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ConfigurationError(
            f"{text!r} is not encrypted: Vault's token would be sent in the clear",
            remedy="Give --vault-address with https; plain http is for a Vault or its agent on this machine.",
        )
    return text.strip().rstrip("/").removesuffix("/v1")


def checked_path(option: str, text: str) -> str:
    """A path of Vault without slashes around it. Raises ConfigurationError."""
    bare = text.strip("/")
    if not _PATH.fullmatch(bare) or ".." in bare.split("/"):
        raise ConfigurationError(
            f"{text!r} is not a path of Vault ({option})", remedy=f"Give {option} as `vault secrets list` shows it."
        )
    return bare


class VaultServer:
    """Sends requests; safe to share between threads."""

    def __init__(
        self,
        address: str,
        namespace: str | None,
        attempts: Attempts,
        *,
        network: NetworkOptions,
        connections: int,
    ) -> None:
        self.address, self.namespace = address, namespace
        self.attempts = attempts
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=connections)

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None, attempt: int = 1
    ) -> HttpAnswer | Silence:
        """One request, sent once. Secrets that a refusal repeats do not leave this."""
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, "X-Vault-Request": "true"}
        if token is not None:
            headers["X-Vault-Token"] = token
        if self.namespace:
            headers["X-Vault-Namespace"] = self.namespace
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        question = Question(method, f"{self.address}/v1/{quote(path)}", content, headers)
        answer = send(self._pool, question, attempt=attempt)
        if isinstance(answer, Silence) or answer.status < 300:
            return answer  # a renewal answers with the token
        long = [text for text in (body or {}).values() if isinstance(text, str) and len(text) > 15]
        return without(answer, [token or "", *long])

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None, asked: str
    ) -> dict[str, Any]:
        """The answer to what costs nothing, repeated where it may get better.

        Raises PrerequisiteError with `asked` in it, CancelledError.
        """
        answer = self.attempts.free(
            lambda attempt: self.send(method, path, body, token, attempt),
            asked,
            lambda refused: refused.status in PASSING,
        )
        if answer.status != 200:
            raise refusal(answer.status, answer.body, asked, PrerequisiteError, waiting(answer))
        try:
            return read_object(answer.body)
        except UnusableReplyError as wrong:
            raise ERRORS.unusable(asked, str(wrong)) from wrong

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def waiting(answer: HttpAnswer) -> str:
    """What it says of waiting or of another host, for a message."""
    if 300 <= answer.status < 400:
        return f"; it redirects to {urlsplit(answer.headers.get('location', '')).netloc or 'another host'}"
    wait = retry_after(answer)
    return "" if wait is None else f"; it asks to wait {wait:.3g} s"


def read_object(body: bytes) -> dict[str, Any]:
    """The answer's object. Raises UnusableReplyError, also for one that is wrapped: its content is elsewhere."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise UnusableReplyError("it is not JSON") from broken
    if not isinstance(parsed, dict):
        raise UnusableReplyError("it is not a JSON object")
    if parsed.get("wrap_info"):
        raise UnusableReplyError(
            "it is wrapped (response wrapping), and what it holds can be read once, by another call"
        )
    return parsed
