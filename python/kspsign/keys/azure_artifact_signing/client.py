"""The data plane of Azure Artifact Signing over REST: asking for a signature costs one, everything else is free.

    POST {profile}/sign                  a signature is asked for; the answer names the operation
    GET  {profile}/sign/{operation}      its state, and the signature when it is done
    GET  {profile}/sign/certchain        the certificates of the next signature

The version is the one that every client in use speaks.
"""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from kspsign.keys.azure_artifact_signing.answers import (
    UNKNOWN_OPERATION,
    OperationState,
    read_operation,
)
from kspsign.keys.azure_artifact_signing.errors import (
    UnusableAnswerError,
    as_signing,
    maybe_spent,
    pending,
    refusal,
    unreachable,
)
from kspsign.keys.azure_artifact_signing.identifier import ProfileAddress
from kspsign.keys.azure_identity.bearer import BearerToken
from kspsign.keys.rest import USER_AGENT, Silence, send
from kspsign.model.errors import CancelledError, PrerequisiteError, SigningError, ThrottledError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool
from kspsign.network.retry import pause_before, retry_after_seconds

API_VERSION: Final = "2022-06-15-preview"
ALGORITHMS: Final = {
    DigestAlgorithm.SHA256: "RS256",
    DigestAlgorithm.SHA384: "RS384",
    DigestAlgorithm.SHA512: "RS512",
}
ATTEMPTS, FIRST_PAUSE = 5, 0.5
OPERATION_SECONDS = 300.0
"""How long an operation is waited for; reports are of up to 180 s."""
_FIRST_POLL, _POLL_STEP, _LONGEST_POLL = 0.05, 0.01, 1.0
_EXCHANGE_SECONDS = 120.0
_BUSY = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_PASSING = _BUSY | _GATEWAY | {500, 408}
_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_CHAIN_TYPES = "application/pkcs7-mime, application/x-x509-ca-cert, application/json"


@dataclass(frozen=True, slots=True)
class Begun:
    """A signature that was asked for: the URL of its operation, if it goes on, and the state in the first answer."""

    operation: str | None
    state: OperationState


class SigningClient:
    """Asks the service for one profile's signatures; safe to share between threads.

    `pause` waits that many seconds and returns true when the run was cancelled, at once.
    """

    def __init__(
        self,
        profile: ProfileAddress,
        token: BearerToken,
        pause: Callable[[float], bool],
        *,
        network: NetworkOptions,
        connections: int,
        correlation_id: str,
    ) -> None:
        self.profile = profile
        self._token, self._pause = token, pause
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=connections)
        self._correlation_id = correlation_id

    def chain(self) -> bytes:
        """The certificates that the next signature comes with, as the service sends them; free.

        Raises PrerequisiteError, CancelledError.
        """
        asked = f"the certificates of {self.profile}"
        url = f"{self.profile.base}/sign/certchain?api-version={API_VERSION}"
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._send("GET", url, None, attempt, accept=_CHAIN_TYPES)
            if isinstance(answer, HttpAnswer) and answer.status == 200:
                return answer.body
            passing = isinstance(answer, Silence) or answer.status in _PASSING - {500}
            if not passing or attempt == ATTEMPTS or not self._waited(answer, attempt):
                raise self._failure(answer, PrerequisiteError, asked)
        raise AssertionError  # the last attempt returns or raises

    def begin(self, digest: bytes, algorithm: DigestAlgorithm, asked: str) -> Begun:
        """Ask for a signature; COSTS ONE. It is sent again only where no connection came about.

        Raises ThrottledError when the service is too busy, LostSignatureError when it is unknown whether it acted,
        SigningError for a refusal; CancelledError.
        """
        content = {"signatureAlgorithm": ALGORITHMS[algorithm], "digest": b64encode(digest).decode()}
        body, url = json.dumps(content).encode(), f"{self.profile.base}/sign?api-version={API_VERSION}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._send("POST", url, body, attempt)
            except PrerequisiteError as refused:
                raise as_signing(refused) from refused
            if isinstance(answer, HttpAnswer) and answer.status in {200, 201, 202}:
                return self._begun(answer, asked)
            if isinstance(answer, Silence) and answer.sent:
                raise maybe_spent(asked, answer.reason, timed_out=answer.timed_out)
            if isinstance(answer, HttpAnswer) and answer.status in _GATEWAY:
                said = f"a gateway answered HTTP {answer.status} in the service's place"
                raise maybe_spent(asked, said, timed_out=answer.status == 504)
            busy = answer.status in _BUSY if isinstance(answer, HttpAnswer) else answer.timed_out
            failure = self._failure(answer, SigningError, asked)
            if busy:
                wait = _retry_after(answer)
                raise ThrottledError(failure.message, code=failure.code, remedy=failure.remedy, retry_after=wait)
            if isinstance(answer, HttpAnswer) or attempt == ATTEMPTS or not self._waited(answer, attempt):
                raise failure
        raise AssertionError  # the last attempt returns or raises

    def wait(self, operation: str, asked: str) -> OperationState:
        """How the operation ended, asked for until it has, or `OPERATION_SECONDS` are over; free.

        Raises LostSignatureError when the service does not say how it ended, CancelledError.
        """
        end, rounds, faults = monotonic() + OPERATION_SECONDS, 0, 0
        while True:
            try:
                answer = self._send("GET", operation, None, faults + 1)
            except PrerequisiteError as refused:
                raise pending(asked, refused.message) from refused
            state = _state_in(answer)
            if state is not None and not state.is_unfinished:
                return state
            if state is not None:
                wait, faults = _retry_after(answer), 0
                pause = min(_FIRST_POLL + _POLL_STEP * rounds, _LONGEST_POLL) if wait is None else wait
                rounds += 1
            else:
                faults += 1
                if faults == ATTEMPTS or not _may_get_better(answer):
                    return self._given_up(answer, asked)
                pause = pause_before(faults, FIRST_PAUSE, _retry_after(answer)) or _LONGEST_POLL
            if monotonic() + pause > end:
                raise pending(asked, f"it is not done after {OPERATION_SECONDS:.0f} s", timed_out=True)
            self._sleep(pause)

    def sign_in(self) -> None:
        """Have a token. Raises PrerequisiteError when the sign-in is refused, CancelledError."""
        self._token.get()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _begun(self, answer: HttpAnswer, asked: str) -> Begun:
        try:
            state = read_operation(answer.body)
        except UnusableAnswerError as unreadable:
            location = self._location(answer)
            if location is None:
                raise maybe_spent(asked, str(unreadable)) from unreadable
            return Begun(location, OperationState("notstarted"))
        location = self._location(answer)
        if location is None and state.id is not None:
            location = f"{self.profile.base}/sign/{state.id}?api-version={API_VERSION}"
        if location is None and state.is_unfinished:
            raise maybe_spent(asked, "it names no operation")
        return Begun(location, state)

    def _location(self, answer: HttpAnswer) -> str | None:
        """The operation's URL where the service names it; a URL of anybody else's is not asked."""
        for name in ("operation-location", "azure-asyncoperation"):
            url = answer.headers.get(name, "")
            if self.profile.has(url):
                return url
        return None

    def _given_up(self, answer: HttpAnswer | Silence, asked: str) -> OperationState:
        failure = self._failure(answer, SigningError, asked)
        if isinstance(answer, HttpAnswer) and answer.status == 404:
            return OperationState(UNKNOWN_OPERATION, said=failure.message)
        slow = isinstance(answer, Silence) and answer.timed_out
        raise pending(asked, failure.message, timed_out=slow)

    def _send(
        self, method: str, url: str, body: bytes | None, attempt: int, accept: str = "application/json"
    ) -> HttpAnswer | Silence:
        """Raises PrerequisiteError when the sign-in fails, CancelledError."""
        if self._pause(0):
            raise CancelledError
        token = self._token.get()
        headers = {
            "Accept": accept,
            "Authorization": f"Bearer {token}",
            "User-Agent": USER_AGENT,
            "x-ms-client-request-id": str(uuid.uuid4()),
            "x-ms-return-client-request-id": "true",
            "x-correlation-id": self._correlation_id,
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        return send(self._pool, Question(method, url, body, headers), attempt=attempt, secrets=(token,))

    def _failure(self, answer: HttpAnswer | Silence, error_class: type[_ErrorT], asked: str) -> _ErrorT:
        if isinstance(answer, Silence):
            return unreachable(asked, answer.reason, error_class=error_class)
        wait = _retry_after(answer)
        extra = "" if wait is None else f"; it asks to wait {wait:.3g} s"
        return refusal(answer.status, answer.body, error_class=error_class, asked=asked, extra=extra)

    def _waited(self, answer: HttpAnswer | Silence, attempt: int) -> bool:
        """Wait before the next attempt; False when the service says too long. Raises CancelledError."""
        seconds = pause_before(attempt, FIRST_PAUSE, _retry_after(answer))
        if seconds is None:
            return False
        self._sleep(seconds)
        return True

    def _sleep(self, seconds: float) -> None:
        if self._pause(seconds):
            raise CancelledError


def _state_in(answer: HttpAnswer | Silence) -> OperationState | None:
    """What an answer says of an operation; None when it says nothing, as a proxy's page."""
    if isinstance(answer, Silence) or answer.status not in {200, 202}:
        return None
    try:
        return read_operation(answer.body)
    except UnusableAnswerError:
        return None


def _may_get_better(answer: HttpAnswer | Silence) -> bool:
    """Whether asking for the state again may help: an operation may be known a moment after it was begun."""
    return isinstance(answer, Silence) or answer.status in _PASSING | {200, 202, 404}


def _retry_after(answer: HttpAnswer | Silence) -> float | None:
    """Seconds that the service asks to wait, by either of its headers."""
    if isinstance(answer, Silence):
        return None
    milliseconds = answer.headers.get("x-ms-retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return float(milliseconds[:9]) / 1000
    return retry_after_seconds(answer.headers.get("retry-after"))
