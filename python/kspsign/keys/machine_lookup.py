"""Asks an address of this machine, such as its metadata service: past any proxy, briefly, a few times."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import urllib3

from kspsign.keys.rest import USER_AGENT, Silence, one_line, send
from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.failures import status_text
from kspsign.network.pool import Pool
from kspsign.network.retry import backoff

_ATTEMPTS, _FIRST_PAUSE, _SECONDS = 3, 0.3, 2.0


class MachineLookup:
    """`pause` waits and returns true when the run was cancelled; `refusal` makes an error of whom was asked and why
    there is no answer."""

    def __init__(
        self,
        network: NetworkOptions,
        pause: Callable[[float], bool],
        refusal: Callable[[str, str], PrerequisiteError],
    ) -> None:
        timeout = urllib3.Timeout(connect=_SECONDS, read=_SECONDS * 5)
        self._direct = Pool(network.direct(), deadline=_SECONDS * 10, timeout=timeout)
        self._pause, self._refusal = pause, refusal

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], who: str, secrets: tuple[str, ...] = ()
    ) -> HttpAnswer:
        """An answer with status 200. Raises PrerequisiteError for anything else, CancelledError."""
        question = Question(method, url, None, {"User-Agent": USER_AGENT, **headers})
        for attempt in range(1, _ATTEMPTS + 1):
            if self._pause(0):
                raise CancelledError
            answer = send(self._direct, question, attempt=attempt, secrets=secrets)
            if isinstance(answer, HttpAnswer) and answer.status == 200:
                return answer
            passing = isinstance(answer, Silence) or answer.status >= 500 or answer.status == 429
            if not passing or attempt == _ATTEMPTS:
                raise self._refusal(who, _described(answer))
            if self._pause(backoff(attempt, _FIRST_PAUSE)):
                raise CancelledError
        raise AssertionError  # the last attempt returns or raises


def _described(answer: HttpAnswer | Silence) -> str:
    if isinstance(answer, Silence):
        return answer.reason
    said = one_line(answer.body.decode("utf-8", "replace"))
    return status_text(answer.status) + (f": {said}" if said else "")
