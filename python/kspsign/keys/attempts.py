"""How often a request is sent to a key store's service: again while that is free and may help, a signature's once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import ServiceErrors, Silence, retry_after
from kspsign.model.errors import CancelledError, PrerequisiteError, SigningError, ThrottledError
from kspsign.network.exchange import HttpAnswer
from kspsign.network.retry import pause_before

Reply = HttpAnswer | Silence
Send = Callable[[int], Reply]
"""Sends the request for the nth time, from 1."""
FIRST_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Attempts:
    """`pause` waits that many seconds and returns true when the run was cancelled, at once; `most` is how often a
    request is sent, and `asked_to_wait` reads how many seconds the service asks for."""

    pause: Callable[[float], bool]
    errors: ServiceErrors
    most: int
    asked_to_wait: Callable[[Reply], float | None] = retry_after

    @classmethod
    def of(cls, surroundings: Surroundings, errors: ServiceErrors) -> Self:
        """As often as these surroundings allow."""
        return cls(surroundings.cancelled.wait, errors, surroundings.attempts)

    def free(self, send: Send, asked: str, is_passing: Callable[[HttpAnswer], bool]) -> HttpAnswer:
        """The answer to a request that costs nothing: sent again after silence and an answer that `is_passing`.

        Raises PrerequisiteError with `asked` in it when there is none, CancelledError.
        """
        for attempt in range(1, self.most + 1):
            answer = self._sent(send, attempt)
            may_help = isinstance(answer, Silence) or is_passing(answer)
            if may_help and self._waited(answer, attempt):
                continue
            if isinstance(answer, Silence):
                raise self.errors.unreachable(answer, asked, PrerequisiteError)
            return answer
        raise AssertionError  # the last attempt returns or raises

    def once(self, send: Send, asked: str) -> HttpAnswer:
        """The answer to a request that may cost: sent again only where no connection came about.

        Raises ThrottledError when the service takes no connection in time, LostSignatureError when it is unknown
        whether it acted, SigningError when it can't be reached or the sign-in fails; CancelledError.
        """
        for attempt in range(1, self.most + 1):
            try:
                answer = self._sent(send, attempt)
            except PrerequisiteError as no_sign_in:
                raise SigningError.of(no_sign_in) from no_sign_in
            if isinstance(answer, HttpAnswer):
                return answer
            if answer.sent:
                raise self.errors.maybe_spent(asked, answer.reason, timed_out=answer.timed_out)
            failure = self.errors.unreachable(answer, asked, SigningError)
            if answer.timed_out:
                raise ThrottledError.of(failure)
            if not self._waited(answer, attempt):
                raise failure
        raise AssertionError  # the last attempt returns or raises

    def wait(self, seconds: float) -> None:
        """Raises CancelledError when the run is cancelled meanwhile, or was."""
        if self.pause(seconds):
            raise CancelledError

    def _sent(self, send: Send, attempt: int) -> Reply:
        self.wait(0)
        return send(attempt)

    def _waited(self, answer: Reply, attempt: int) -> bool:
        """Wait before the next attempt; False when there is none, or the service asks for too long."""
        seconds = pause_before(attempt, FIRST_PAUSE, self.asked_to_wait(answer)) if attempt < self.most else None
        if seconds is None:
            return False
        self.wait(seconds)
        return True
