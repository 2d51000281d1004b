"""Stops a run before all its files are tried: a key store that refuses everything, timestamps that can't be obtained,
or the first failure."""

from __future__ import annotations

import threading
from typing import Final

from kspsign.model.errors import HaltedError, KspSignError
from kspsign.model.values import ErrorFacts

THRESHOLD: Final = 5
"""Refusals of a key store one after the other, nothing signed in between, after which it is not asked any more."""


class CircuitBreaker:
    """Asked before anything is done for a file; with `fail_fast` the first file that fails ends the run."""

    def __init__(self, *, fail_fast: bool = False) -> None:
        self._fail_fast = fail_fast
        self._code = self._reason = ""
        self._refusals = 0
        self._lock = threading.Lock()

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
