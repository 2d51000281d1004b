"""Items that wait for others: each is handed out once all that it waits for is done."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_LOOK_SECONDS = 0.1
"""Between two looks at whether the run is cancelled, while nothing is ready."""


class ReadyQueue(Generic[Item]):
    """An iterator for several threads: `next` blocks until an item is ready, and ends when all were handed out or
    `cancelled` is set.

    `waits_for` has, by key, the keys of other items that must be `done` before. Those that become ready come first:
    they end what was begun, and free what it holds.
    """

    def __init__(
        self,
        items: Iterable[Item],
        key: Callable[[Item], Hashable],
        waits_for: Mapping[Hashable, Collection[Hashable]],
        cancelled: threading.Event,
    ) -> None:
        self._changed, self._cancelled = threading.Condition(), cancelled
        self._ready: deque[Item] = deque()
        self._waiting: dict[Hashable, tuple[Item, set[Hashable]]] = {}
        self._dependants: dict[Hashable, list[Hashable]] = {}
        listed = {key(item): item for item in items}
        for name, item in listed.items():
            left = {other for other in waits_for.get(name, ()) if other in listed}
            if not left:
                self._ready.append(item)
                continue
            self._waiting[name] = item, left
            for other in left:
                self._dependants.setdefault(other, []).append(name)

    def done(self, name: Hashable) -> None:
        """What waits for the item of this key waits for it no longer."""
        with self._changed:
            for dependant in self._dependants.pop(name, ()):
                item, left = self._waiting[dependant]
                left.discard(name)
                if not left:
                    del self._waiting[dependant]
                    self._ready.appendleft(item)
            self._changed.notify_all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        with self._changed:
            while not self._ready:
                if not self._waiting or self._cancelled.is_set():
                    raise StopIteration
                self._changed.wait(_LOOK_SECONDS)
            return self._ready.popleft()
