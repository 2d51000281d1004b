"""The REST client of DigiCert ONE: one pool of kept-alive TLS connections, and no retry that may cost twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from kspsign.keys.client_certificate import tls_context
from kspsign.keys.keylocker.credentials import Credentials
from kspsign.keys.keylocker.errors import Kind, refusal, unusable
from kspsign.keys.rest import without
from kspsign.model.errors import CancelledError, LostSignatureError, PrerequisiteError, SigningError, ThrottledError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.exchange import Question, ask
from kspsign.network.failures import innermost, surely_not_sent, timed_out
from kspsign.network.pool import Pool
from kspsign.network.retry import pause_before, retry_after_seconds

API = "/signingmanager/api/v1/"
ATTEMPTS = 5
FIRST_PAUSE = 0.5
EXCHANGE_TIMEOUTS = 3.0
"""A whole exchange may take this many times the timeout of a socket (SM_CONN_TIMEOUT)."""
MAX_REPLY = 16 << 20
_THROTTLED = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class _Silence:
    """No reply: why, whether the request may have reached the service, and whether TLS failed or time ran out."""

    reason: str
    sent: bool
    tls: bool = False
    timed_out: bool = False


class KeyLockerClient:
    """Asks the service at `credentials.host`; safe to share between threads.

    `pause` waits that many seconds and returns true when the run was cancelled, at once. `attempts` is how often a
    request is sent that is free to repeat.
    """

    def __init__(
        self,
        credentials: Credentials,
        pause: Callable[[float], bool],
        *,
        network: NetworkOptions,
        temp_folder: Path | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.host = credentials.host
        self.client_certificate = credentials.client
        self._key = credentials.api_key
        self._pause = pause
        self._attempts = attempts
        seconds = credentials.timeout
        self._pool = Pool(
            network,
            connections=64,
            timeout=urllib3.Timeout(connect=seconds, read=seconds),
            deadline=EXCHANGE_TIMEOUTS * seconds,
            context=tls_context(credentials.client, credentials.authorities, temp_folder, network),
        )

    def get(self, path: str, fields: Mapping[str, str] | None = None, *, asked: str) -> dict[str, Any]:
        """The JSON object at `path`; `asked` says in errors what was wanted. Costs nothing and may be repeated.

        Raises PrerequisiteError, CancelledError.
        """
        target = f"{path}?{urlencode(fields)}" if fields else path
        for attempt in range(1, self._attempts + 1):
            answer = self._send("GET", target, None, attempt)
            if isinstance(answer, _Reply) and 200 <= answer.status < 300:
                return _object(answer.body, asked)
            again = not answer.tls if isinstance(answer, _Silence) else answer.status in _THROTTLED | _GATEWAY
            if not again or not self._waited(answer, attempt):
                raise self._failure(answer, PrerequisiteError, asked, attempt)
        raise AssertionError  # the last attempt returns or raises

    def spend(self, path: str, content: Mapping[str, object], *, asked: str) -> dict[str, Any]:
        """Post `content` once: it is repeated only where no connection came about.

        Raises ThrottledError when the service is too busy (429, 503) or does not take a connection in time,
        LostSignatureError when it is unknown whether it acted, SigningError for a refusal; CancelledError.
        """
        body = json.dumps(content).encode()
        for attempt in range(1, self._attempts + 1):
            answer = self._send("POST", path, body, attempt)
            if isinstance(answer, _Reply) and 200 <= answer.status < 300:
                try:
                    return _object(answer.body, asked)
                except PrerequisiteError as unreadable:
                    raise maybe_spent(asked, unreadable.message) from unreadable
            if isinstance(answer, _Silence) and answer.sent:
                raise maybe_spent(asked, answer.reason, timed_out=answer.timed_out)
            if isinstance(answer, _Reply) and answer.status in _GATEWAY:
                slow = answer.status == HTTPStatus.GATEWAY_TIMEOUT
                raise maybe_spent(
                    asked, f"a gateway answered HTTP {answer.status} instead of the service", timed_out=slow
                )
            if answer.status in _THROTTLED if isinstance(answer, _Reply) else answer.timed_out:
                raise self._throttled(answer, asked)
            if isinstance(answer, _Reply) or answer.tls or not self._waited(answer, attempt):
                raise self._failure(answer, SigningError, asked, attempt)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _send(self, method: str, target: str, body: bytes | None, attempt: int) -> _Reply | _Silence:
        if self._pause(0):
            raise CancelledError
        headers = {"x-api-key": self._key.get_secret_value(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            question = Question(method, f"{self.host}{API}{target}", body, headers)
            answer = ask(self._pool, question, limit=MAX_REPLY, attempt=attempt)
        except urllib3.exceptions.HTTPError as broken:
            return _silence(broken)
        # A key that the service repeats must not reach the log.
        content = without(answer, (self._key.get_secret_value(),)).body
        return _Reply(answer.status, content, answer.headers.get("retry-after"))

    def _waited(self, answer: _Reply | _Silence, attempt: int) -> bool:
        """Wait before the next attempt; False when there is none. Raises CancelledError."""
        if attempt == self._attempts:
            return False
        asked_for = retry_after_seconds(answer.retry_after) if isinstance(answer, _Reply) else None
        seconds = pause_before(attempt, FIRST_PAUSE, asked_for)
        if seconds is None:
            return False
        if self._pause(seconds):
            raise CancelledError
        return True

    def _throttled(self, answer: _Reply | _Silence, asked: str) -> ThrottledError:
        refused = self._failure(answer, SigningError, asked, 1)
        wait = retry_after_seconds(answer.retry_after) if isinstance(answer, _Reply) else None
        return ThrottledError.of(refused, wait)

    def _failure(
        self, answer: _Reply | _Silence, error_class: Kind, asked: str, attempts: int
    ) -> PrerequisiteError | SigningError:
        tried = f" (after {attempts} attempts)" if attempts > 1 else ""
        if isinstance(answer, _Reply):
            wait = f"; it asks to wait: {answer.retry_after}" if answer.retry_after else ""
            return refusal(answer.status, answer.body, error_class=error_class, asked=asked, extra=wait + tried)
        if answer.tls:
            return error_class(
                f"no TLS connection to {self.host}: {answer.reason}",
                code="KEYLOCKER_TLS",
                remedy="If a proxy inspects TLS, exempt the host or name the proxy's root in --ca-file or SM_CA_FILE; "
                "if the client certificate is refused, create a new one on the host in SM_HOST.",
            )
        return error_class(
            f"{self.host} did not answer {asked}: {answer.reason}{tried}",
            code="KEYLOCKER_UNREACHABLE",
            remedy="Check SM_HOST, and that the agent's firewall and proxy (HTTPS_PROXY) allow port 443 to it.",
        )


def maybe_spent(asked: str, reason: str, *, timed_out: bool = False) -> LostSignatureError:
    """The error for a signature that was asked for and never seen."""
    return LostSignatureError(
        f"{asked} was sent, and the response was lost ({reason}): it may have spent a signature",
        code="SIGNATURE_MAY_BE_SPENT",
        remedy="Check the signature log in DigiCert ONE before you count signatures; run again to sign the file, which "
        "requests another one.",
        timed_out=timed_out,
    )


def _silence(broken: urllib3.exceptions.HTTPError) -> _Silence:
    # Most special first: a refused connection is a kind of time-out to urllib3.
    cause, sent = innermost(broken), not surely_not_sent(broken)
    if isinstance(cause, urllib3.exceptions.SSLError):
        return _Silence(str(cause), sent=sent, tls=True)
    if isinstance(broken, urllib3.exceptions.ProxyError) and not sent:
        return _Silence("the proxy rejects it", sent=False)
    if isinstance(broken, urllib3.exceptions.NameResolutionError):
        return _Silence("unknown host", sent=False)
    if isinstance(broken, urllib3.exceptions.ConnectTimeoutError):
        refused = isinstance(broken, urllib3.exceptions.NewConnectionError)
        reason = "connection refused" if refused else "the connection timed out"
        return _Silence(reason, sent=False, timed_out=not refused)
    if timed_out(broken):
        return _Silence("no answer in time", sent=True, timed_out=True)
    return _Silence("the connection was closed", sent=True)


def _object(body: bytes, asked: str) -> dict[str, Any]:
    if len(body) > MAX_REPLY:
        raise unusable(asked, f"it has more than {MAX_REPLY} bytes")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise unusable(asked, "it is not JSON") from broken
    if not isinstance(parsed, dict):
        raise unusable(asked, "it is not a JSON object")
    return parsed
