"""Single-flight memoization: concurrent callers of one key share one computation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Flight(Generic[Value]):
    """One computation under way, or one that failed: `value` is there when it has landed without `error`."""

    __slots__ = ("error", "landed", "value")
    value: Value

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.error: BaseException | None = None


class SingleFlight(Generic[Value]):
    """Values by key, each computed by the first caller; the others wait for it and share its failure.

    `keep` bounds how many are remembered (the newest); None remembers all. `retry` forgets failures, so that later
    callers try again.
    """

    def __init__(self, *, keep: int | None = None, retry: bool = False) -> None:
        self._keep, self._retry = keep, retry
        self._lock = threading.Lock()
        self._known: dict[Hashable, Value] = {}
        self._flights: dict[Hashable, _Flight[Value]] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value for `key`; raises what `make` raised, in whichever caller it ran."""
        with self._lock:
            if key in self._known:
                return self._known[key]
            flight, mine = self._flights.get(key), False
            if flight is None:
                flight, mine = self._flights.setdefault(key, _Flight()), True
        if mine:
            self._fly(key, flight, make)
        flight.landed.wait()
        if flight.error is not None:
            raise flight.error
        return flight.value

    def _fly(self, key: Hashable, flight: _Flight[Value], make: Callable[[], Value]) -> None:
        try:
            flight.value = make()
        except BaseException as error:  # noqa: BLE001 - every caller raises it
            flight.error = error
        with self._lock:
            if flight.error is None:
                self._known[key] = flight.value
                if self._keep is not None and len(self._known) > self._keep:
                    del self._known[next(iter(self._known))]
            if flight.error is None or self._retry:
                del self._flights[key]
        flight.landed.set()
