"""How many signatures a run may still ask for, and how many it did."""

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
        """One signature is to be asked for. Raises SigningError (BUDGET_SPENT) when there is none left."""
        with self._lock:
            if self._limit is not None and self.spent >= self._limit:
                raise SigningError(
                    f"the {self._limit} signatures that this run may spend are spent",
                    code="BUDGET_SPENT",
                    remedy="Raise --max-signatures and run again: files already signed are skipped.",
                )
            self.spent += 1

    def give_back(self) -> None:
        """The key store surely made none."""
        with self._lock:
            self.spent -= 1

    def lose(self, count: int) -> None:
        """Signatures were made for nothing, and are made again."""
        with self._lock:
            self.spent += count
