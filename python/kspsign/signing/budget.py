"""The signature budget of a run: how many it may still request, and how many it used."""

from __future__ import annotations

import threading

from kspsign.model.errors import SigningError


class Budget:
    """Counts signatures; `limit` None sets no bound."""

    def __init__(self, limit: int | None) -> None:
        self.spent = 0
        self._limit = limit
        self._lock = threading.Lock()

    def take(self) -> None:
        """Count one signature before it is requested. Raises SigningError (BUDGET_SPENT) when there is none left."""
        with self._lock:
            if self._limit is not None and self.spent >= self._limit:
                plural = "" if self._limit == 1 else "s"
                raise SigningError(
                    f"this run's limit of {self._limit} signature{plural} is used up (--max-signatures)",
                    code="BUDGET_SPENT",
                    remedy="Raise --max-signatures and run again: files already signed are skipped.",
                )
            self.spent += 1

    def give_back(self) -> None:
        """Refund: the key store definitely made no signature."""
        with self._lock:
            self.spent -= 1

    def lose(self, count: int) -> None:
        """Signatures were made for nothing, and are made again."""
        with self._lock:
            self.spent += count
