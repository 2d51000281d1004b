"""One Vault: its address and namespace, and requests to it (v1 of the HTTP API), repeated where that is free."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import urllib3

from kspsign.keys.vault.errors import UnusableReplyError, refusal, unreachable, unusable
from kspsign.model.errors import CancelledError, ConfigurationError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.version import VERSION
from kspsign.network.exchange import HttpAnswer, Question, ask
from kspsign.network.failures import reason, surely_not_sent, timed_out
from kspsign.network.pool import Pool
from kspsign.network.retry import pause_before, retry_after_seconds

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_ATTEMPTS, _FIRST_PAUSE = 5, 0.5
_EXCHANGE_SECONDS = 60.0
_MAX_REPLY = 1 << 20
PASSING: Final = frozenset({412, 429, 472, 473, 502, 503, 504})
"""Refusals that may not last: busy, sealed, a standby, a node that has not seen a write yet, a gateway."""
_USER_AGENT = f"kspsign/{VERSION}"


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer: why, whether the request may have reached Vault, and whether time ran out."""

    reason: str
    sent: bool
    timed_out: bool


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
    """Sends requests; safe to share between threads.

    `pause` waits that many seconds and returns true when the run was cancelled, at once.
    """

    def __init__(
        self,
        address: str,
        namespace: str | None,
        pause: Callable[[float], bool],
        *,
        network: NetworkOptions,
        connections: int,
    ) -> None:
        self.address, self.namespace = address, namespace
        self._pause = pause
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=connections)

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None, attempt: int = 1
    ) -> HttpAnswer | NoReply:
        """One request, sent once. Secrets that Vault repeats do not leave this. Raises CancelledError."""
        if self._pause(0):
            raise CancelledError
        headers = {"Accept": "application/json", "User-Agent": _USER_AGENT, "X-Vault-Request": "true"}
        if token is not None:
            headers["X-Vault-Token"] = token
        if self.namespace:
            headers["X-Vault-Namespace"] = self.namespace
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        question = Question(method, f"{self.address}/v1/{quote(path)}", content, headers)
        try:
            answer = ask(self._pool, question, limit=_MAX_REPLY, attempt=attempt)
        except urllib3.exceptions.HTTPError as broken:
            return NoReply(reason(broken), not surely_not_sent(broken), timed_out(broken))
        hidden = [token, *(text for text in (body or {}).values() if isinstance(text, str) and len(text) > 15)]
        shown = answer.body
        for secret in hidden if answer.status >= 300 else ():
            shown = shown.replace(secret.encode(), b"***") if secret else shown
        return HttpAnswer(answer.status, answer.headers, shown)

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None, asked: str
    ) -> dict[str, Any]:
        """The answer to what costs nothing, repeated where it may get better.

        Raises PrerequisiteError with `asked` in it, CancelledError.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self.send(method, path, body, token, attempt)
            if isinstance(answer, HttpAnswer) and answer.status == 200:
                try:
                    return read_object(answer.body)
                except UnusableReplyError as wrong:
                    raise unusable(asked, str(wrong)) from wrong
            again = isinstance(answer, NoReply) or answer.status in PASSING
            wait = pause_before(attempt, _FIRST_PAUSE, retry_after(answer)) if again else None
            if wait is None or attempt == _ATTEMPTS:
                raise failure(answer, asked)
            self.sleep(wait)
        raise AssertionError  # the last attempt returns or raises

    def sleep(self, seconds: float) -> None:
        """Raises CancelledError."""
        if self._pause(seconds):
            raise CancelledError

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def failure(answer: HttpAnswer | NoReply, asked: str) -> PrerequisiteError:
    """The error for an answer that is not the one that was asked for."""
    if isinstance(answer, NoReply):
        return unreachable(asked, answer.reason, PrerequisiteError)
    return refusal(answer.status, answer.body, asked, PrerequisiteError, waiting(answer))


def waiting(answer: HttpAnswer) -> str:
    """What it says of waiting or of another host, for a message."""
    if 300 <= answer.status < 400:
        return f"; it redirects to {urlsplit(answer.headers.get('location', '')).netloc or 'another host'}"
    wait = retry_after(answer)
    return "" if wait is None else f"; it asks to wait {wait:.3g} s"


def retry_after(answer: HttpAnswer | NoReply) -> float | None:
    """Seconds that Vault asks to wait."""
    return None if isinstance(answer, NoReply) else retry_after_seconds(answer.headers.get("retry-after"))


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
