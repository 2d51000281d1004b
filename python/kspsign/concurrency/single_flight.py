"""Single-flight memoization: concurrent callers of one key share one computation."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Values by key, each computed by the first caller; the others wait for it and share its failure.

    `keep` bounds how many are remembered (the newest); None remembers all. `retry` forgets failures, so that later
    callers try again.
    """

    def __init__(self, *, keep: int | None = None, retry: bool = False) -> None:
        self._keep, self._retry = keep, retry
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value for `key`; raises what `make` raised, in whichever caller it ran."""
        with self._lock:
            known = self._known.get(key)
            mine = self._known[key] = Future() if known is None else known
            if known is None and self._keep is not None and len(self._known) > self._keep:
                self._known.popitem(last=False)
        if known is None:
            try:
                mine.set_result(make())
            except BaseException as error:
                if self._retry:
                    with self._lock:
                        self._known.pop(key, None)
                mine.set_exception(error)
                raise
        return mine.result()
