"""Stops a run before all its files are tried: a key store that refuses everything or is too busy for long, timestamps
that can't be obtained, or the first failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from kspsign.model.errors import HaltedError, KspSignError, ThrottledError
from kspsign.model.values import ErrorFacts
from kspsign.network.retry import LONGEST_PAUSE

THRESHOLD: Final = 5
"""Refusals of a key store one after the other, nothing signed in between, after which it is not asked any more."""
BUSY_SECONDS: Final = 600.0
"""How long a key store may be too busy, nothing signed in between, before it is not asked any more."""


class CircuitBreaker:
    """Asked before anything is done for a file; with `fail_fast` the first file that fails ends the run."""

    def __init__(self, *, fail_fast: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._fail_fast, self._clock = fail_fast, clock
        self._busy_since: float | None = None
        self._code = self._reason = ""
        self._refusals = 0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether the run goes on."""
        return not self._reason

    def check(self) -> None:
        """Raise HaltedError when the run has stopped."""
        if self._reason:
            raise HaltedError(f"it was not tried: {self._reason}")

    def end(self, left: int) -> None:
        """Raise what the whole run has to say when it has stopped; `left` files were not tried."""
        if self._reason:
            raise HaltedError(f"{self._reason}; files that were not tried: {left}", code=self._code)

    def record_success(self) -> None:
        """The key store signed something."""
        with self._lock:
            self._refusals = 0
            self._busy_since = None

    def record_throttled(self, busy: ThrottledError) -> None:
        """The key store said that it is too busy, or asked not to be asked again for a while."""
        with self._lock:
            now = self._clock()
            if self._busy_since is None:
                self._busy_since = now
            asked, waited = busy.retry_after or 0.0, now - self._busy_since
            if asked > LONGEST_PAUSE:
                self._stop(busy.code, f"the key store asks not to be asked again for {asked:.0f} s ({busy.message})")
            elif waited >= BUSY_SECONDS:
                self._stop(busy.code, f"the key store has been too busy for {waited / 60:.0f} minutes ({busy.message})")

    def record_failure(self, error: KspSignError) -> None:
        """The key store refused to sign, or gave a signature that does not hold."""
        with self._lock:
            self._refusals += 1
            if self._refusals >= THRESHOLD:
                reason = f"the key store refused {self._refusals} signatures in a row ({error.message})"
                self._stop("KEY_STORE_REFUSES", reason)

    def unstampable(self, error: KspSignError) -> None:
        """No timestamp will be had: every further signature would be spent for nothing."""
        with self._lock:
            self._stop(error.code, error.message)

    def failed(self, name: str, error: ErrorFacts) -> None:
        """The file `name` was tried and failed."""
        if self._fail_fast:
            with self._lock:
                self._stop("FAIL_FAST", f"{name} failed ({error.message})")

    def _stop(self, code: str, reason: str) -> None:
        if not self._reason:
            self._code, self._reason = code, reason
