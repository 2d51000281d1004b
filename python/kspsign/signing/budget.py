"""The signature budget of a run: how many it may still request, and how many it used."""

from __future__ import annotations

import threading

from kspsign.model.errors import SigningError
from kspsign.signing.signature_cache import Tally


class Budget:
    """Counts signatures; `limit` None sets no bound. With a `tally` it bounds what all its runs spend together.

    `reserved` of them are kept back until `release`.
    """

    def __init__(self, limit: int | None, tally: Tally | None = None, *, reserved: int = 0) -> None:
        self.spent = 0
        self._limit, self._tally, self._reserved = limit, tally, reserved
        self._lock = threading.Lock()

    def take(self) -> None:
        """Count one signature before it is requested. Raises SigningError (BUDGET_SPENT) when there is none left."""
        with self._lock:
            if self._is_used_up():
                plural = "" if self._limit == 1 else "s"
                whose = "this run's" if self._tally is None else "the signature cache's"
                raise SigningError(
                    f"{whose} limit of {self._limit} signature{plural} is used up (--max-signatures)",
                    code="BUDGET_SPENT",
                    remedy="Raise --max-signatures and run again: files already signed are skipped.",
                )
            self.spent += 1

    def release(self) -> None:
        """What was kept back may be spent."""
        with self._lock:
            self._reserved = 0

    def give_back(self) -> None:
        """Refund: the key store definitely made no signature."""
        with self._lock:
            if self._tally is not None:
                self._tally.give_back()
            self.spent -= 1

    def lose(self, count: int) -> None:
        """Signatures were made for nothing, and are made again."""
        with self._lock:
            if self._tally is not None:
                for _ in range(count):
                    self._tally.take(None)
            self.spent += count

    def _is_used_up(self) -> bool:
        """Whether no signature is left; counts one in the tally where there is."""
        limit = None if self._limit is None else self._limit - self._reserved
        if self._tally is not None:
            return not self._tally.take(limit)
        return limit is not None and self.spent >= limit
