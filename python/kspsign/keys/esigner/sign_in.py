"""The access token of SSL.com (OAuth 2.0 password grant, RFC 6749 §4.3), and what time SSL.com has."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from kspsign.keys.esigner.environment import ESignerLogin
from kspsign.keys.esigner.errors import ERRORS, ONCE, refused
from kspsign.keys.rest import USER_AGENT, Silence, read_life, retry_after, send
from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool
from kspsign.network.retry import http_date, pause_before

_ATTEMPTS, _FIRST_PAUSE = 4, 0.5
_DEFAULT_SECONDS, _RESERVE_SECONDS = 3600.0, 60.0
_BUSY = frozenset({429, 503})
_NOTABLE_SECONDS = 5.0


class ESignerToken:
    """The token of a login; safe to share between threads. A login that is refused is not tried again."""

    def __init__(self, login: ESignerLogin, pool: Pool, pause: Callable[[float], bool]) -> None:
        self._login, self._pool, self._pause = login, pool, pause
        self._lock = threading.Lock()
        self._token, self._end, self._ahead = "", 0.0, 0.0
        self._refused: PrerequisiteError | None = None

    @property
    def ahead(self) -> float:
        """Seconds by which SSL.com's clock is ahead of this machine's, by its answer to the sign-in."""
        return self._ahead

    def now(self) -> float:
        """SSL.com's time, in seconds since 1970."""
        return time.time() + self._ahead

    def get(self) -> str:
        """A token that is valid for a while. Raises PrerequisiteError when the login is refused, CancelledError."""
        with self._lock:
            if not self._token or time.monotonic() > self._end:
                self._sign_in()
            return self._token

    def drop(self, token: str) -> None:
        """The service does not accept `token` any more."""
        with self._lock:
            if self._token == token:
                self._token = ""

    def clock(self) -> str:
        """What to say of the two clocks, "" where they agree."""
        if abs(self._ahead) < _NOTABLE_SECONDS:
            return ""
        seconds, how = round(abs(self._ahead)), "slow" if self._ahead > 0 else "fast"
        return f"; this machine's clock is {seconds} s {how} by SSL.com's"

    def _sign_in(self) -> None:
        if self._refused is not None:
            raise self._refused
        answer = self._answer()
        if answer.status != 200:
            error = refused(answer, self._asked, PrerequisiteError)
            if error.code in ONCE:
                self._refused = error
            raise error
        try:
            said: Any = json.loads(answer.body)
            token, life = said["access_token"], read_life(said.get("expires_in", _DEFAULT_SECONDS))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as broken:
            raise ERRORS.unusable(self._asked, "it holds no token") from broken
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise ERRORS.unusable(self._asked, "it holds no token")
        self._token, self._end = token, time.monotonic() + max(life - _RESERVE_SECONDS, life / 2)

    def _answer(self) -> HttpAnswer:
        """Sent again only where SSL.com surely did not look at the password."""
        given = {"client_id": self._login.client_id, "grant_type": "password"}
        body = json.dumps({**given, "username": self._login.user, "password": self._login.password}).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": USER_AGENT}
        question = Question("POST", f"{self._login.environment.login}/oauth2/token", body, headers)
        for attempt in range(1, _ATTEMPTS + 1):
            if self._pause(0):
                raise CancelledError
            before = time.time()
            answer = send(self._pool, question, attempt=attempt, secrets=(self._login.password,))
            passing = not answer.sent if isinstance(answer, Silence) else answer.status in _BUSY
            wait = pause_before(attempt, _FIRST_PAUSE, retry_after(answer)) if passing else None
            if wait is None or attempt == _ATTEMPTS:
                if isinstance(answer, Silence):
                    raise ERRORS.unreachable(answer, self._asked, PrerequisiteError)
                self._compare_clocks(answer, (before + time.time()) / 2)
                return answer
            if self._pause(wait):
                raise CancelledError
        raise AssertionError  # the last attempt returns or raises

    @property
    def _asked(self) -> str:
        return f"the sign-in of {self._login.user}"

    def _compare_clocks(self, answer: HttpAnswer, here: float) -> None:
        """By the answer's Date (RFC 9110 §6.6.1), which has whole seconds."""
        try:
            there = http_date(answer.headers.get("date", "")).timestamp() + 0.5
        except ValueError:
            return
        self._ahead = there - here
