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
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, TypeVar

from kspsign.keys.attempts import FIRST_PAUSE, Attempts, Reply
from kspsign.keys.azure_artifact_signing.answers import (
    UNKNOWN_OPERATION,
    OperationState,
    read_operation,
)
from kspsign.keys.azure_artifact_signing.errors import ERRORS, UnusableAnswerError, pending, refusal
from kspsign.keys.azure_artifact_signing.identifier import ProfileAddress
from kspsign.keys.azure_artifact_signing.pace import PollingPace
from kspsign.keys.azure_identity.bearer import BearerToken
from kspsign.keys.rest import USER_AGENT, Silence, send
from kspsign.model.errors import PrerequisiteError, SigningError, ThrottledError
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
OPERATION_SECONDS = 300.0
"""How long an operation is waited for; reports are of up to 180 s."""
_EXCHANGE_SECONDS = 120.0
_UNANSWERED_PAUSE = 1.0
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
    """Asks the service for one profile's signatures; safe to share between threads."""

    def __init__(
        self,
        profile: ProfileAddress,
        token: BearerToken,
        attempts: Attempts,
        *,
        network: NetworkOptions,
        connections: int,
        correlation_id: str,
    ) -> None:
        self.profile = profile
        self._token, self._attempts = token, replace(attempts, asked_to_wait=_retry_after)
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=connections)
        self._correlation_id = correlation_id
        self._pace = PollingPace()

    def chain(self) -> bytes:
        """The certificates that the next signature comes with, as the service sends them; free.

        Raises PrerequisiteError, CancelledError.
        """
        asked = f"the certificates of {self.profile}"
        url = f"{self.profile.base}/sign/certchain?api-version={API_VERSION}"
        answer = self._attempts.free(
            lambda attempt: self._send("GET", url, None, attempt, accept=_CHAIN_TYPES),
            asked,
            lambda refused: refused.status in _PASSING - {500},
        )
        if answer.status != 200:
            raise _refused(answer, PrerequisiteError, asked)
        return answer.body

    def begin(self, digest: bytes, algorithm: DigestAlgorithm, asked: str) -> Begun:
        """Ask for a signature; COSTS ONE. It is sent again only where no connection came about.

        Raises ThrottledError when the service is too busy, LostSignatureError when it is unknown whether it acted,
        SigningError for a refusal; CancelledError.
        """
        content = {"signatureAlgorithm": ALGORITHMS[algorithm], "digest": b64encode(digest).decode()}
        body, url = json.dumps(content).encode(), f"{self.profile.base}/sign?api-version={API_VERSION}"
        answer = self._attempts.once(lambda attempt: self._send("POST", url, body, attempt), asked)
        if answer.status in {200, 201, 202}:
            return self._begun(answer, asked)
        if answer.status in _GATEWAY:
            said = f"a gateway answered HTTP {answer.status} in the service's place"
            raise ERRORS.maybe_spent(asked, said, timed_out=answer.status == 504)
        failure = _refused(answer, SigningError, asked)
        if answer.status in _BUSY:
            raise ThrottledError.of(failure, _retry_after(answer))
        raise failure

    def wait(self, operation: str, asked: str) -> OperationState:
        """How the operation ended, asked for until it has, or `OPERATION_SECONDS` are over; free.

        Raises LostSignatureError when the service does not say how it ended, CancelledError.
        """
        started, rounds, faults = monotonic(), 0, 0
        while True:
            self._attempts.wait(0)
            try:
                answer = self._send("GET", operation, None, faults + 1)
            except PrerequisiteError as refused:
                raise pending(asked, refused.message) from refused
            state = _state_in(answer)
            if state is not None and not state.is_unfinished:
                if rounds:
                    self._pace.record(monotonic() - started)
                return state
            if state is not None:
                wait, faults = _retry_after(answer), 0
                pause = self._pace.pause(monotonic() - started, rounds) if wait is None else wait
                rounds += 1
            else:
                faults += 1
                if faults == self._attempts.most or not _may_get_better(answer):
                    return self._given_up(answer, asked)
                pause = pause_before(faults, FIRST_PAUSE, _retry_after(answer)) or _UNANSWERED_PAUSE
            if monotonic() - started + pause > OPERATION_SECONDS:
                raise pending(asked, f"it is not done after {OPERATION_SECONDS:.0f} s", timed_out=True)
            self._attempts.wait(pause)

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
                raise ERRORS.maybe_spent(asked, str(unreadable)) from unreadable
            return Begun(location, OperationState("notstarted"))
        location = self._location(answer)
        if location is None and state.id is not None:
            location = f"{self.profile.base}/sign/{state.id}?api-version={API_VERSION}"
        if location is None and state.is_unfinished:
            raise ERRORS.maybe_spent(asked, "it names no operation")
        return Begun(location, state)

    def _location(self, answer: HttpAnswer) -> str | None:
        """The operation's URL where the service names it; a URL of anybody else's is not asked."""
        for name in ("operation-location", "azure-asyncoperation"):
            url = answer.headers.get(name, "")
            if self.profile.has(url):
                return url
        return None

    def _given_up(self, answer: Reply, asked: str) -> OperationState:
        if isinstance(answer, Silence):
            silent = ERRORS.unreachable(answer, asked, SigningError)
            raise pending(asked, silent.message, timed_out=answer.timed_out)
        failure = _refused(answer, SigningError, asked)
        if answer.status == 404:
            return OperationState(UNKNOWN_OPERATION, said=failure.message)
        raise pending(asked, failure.message)

    def _send(self, method: str, url: str, body: bytes | None, attempt: int, accept: str = "application/json") -> Reply:
        """Raises PrerequisiteError when the sign-in fails, CancelledError."""
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


def _refused(answer: HttpAnswer, error_class: type[_ErrorT], asked: str) -> _ErrorT:
    wait = _retry_after(answer)
    extra = "" if wait is None else f"; it asks to wait {wait:.3g} s"
    return refusal(answer.status, answer.body, error_class=error_class, asked=asked, extra=extra)


def _state_in(answer: Reply) -> OperationState | None:
    """What an answer says of an operation; None when it says nothing, as a proxy's page."""
    if isinstance(answer, Silence) or answer.status not in {200, 202}:
        return None
    try:
        return read_operation(answer.body)
    except UnusableAnswerError:
        return None


def _may_get_better(answer: Reply) -> bool:
    """Whether asking for the state again may help: an operation may be known a moment after it was begun."""
    return isinstance(answer, Silence) or answer.status in _PASSING | {200, 202, 404}


def _retry_after(answer: Reply) -> float | None:
    """Seconds that the service asks to wait, by either of its headers."""
    if isinstance(answer, Silence):
        return None
    milliseconds = answer.headers.get("x-ms-retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return float(milliseconds[:9]) / 1000
    return retry_after_seconds(answer.headers.get("retry-after"))
