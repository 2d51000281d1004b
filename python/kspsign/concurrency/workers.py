"""A pool of daemon threads that yields results in the order of completion."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from kspsign.concurrency.cancellation import GRACE_SECONDS, SIGNAL_SECONDS

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Raised(NamedTuple):
    """What `work` raised in place of a result."""

    error: BaseException


class Workers(Generic[Item, Result]):
    """`work(item)` of each of `number` items, at most `jobs` at a time. The next item may take a while to be
    had, and there may be none left once the run is cancelled. What `work` raises is raised by `results`.

    No item is started once `cancelled` is set. The threads do not keep the process alive: one that hangs in an
    unresponsive service is abandoned.
    """

    def __init__(
        self, work: Callable[[Item], Result], items: Iterable[Item], number: int, jobs: int, cancelled: threading.Event
    ) -> None:
        self._work, self._cancelled = work, cancelled
        self._left = number
        self._remaining = iter(items)
        self._take = threading.Lock()
        self._done: queue.SimpleQueue[Result | _Raised] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"file-{index}", daemon=True) for index in range(min(jobs, number))
        ]

    def results(self, tick: Callable[[], object]) -> Iterator[Result]:
        """Yields results in the order of completion; all of them, unless the run is cancelled.

        `tick` is called regularly. After a cancelled run, `late` may yield more.
        """
        self._start()
        deadline: float | None = None
        while self._left:
            tick()
            try:
                result = self._done.get(timeout=SIGNAL_SECONDS)
            except queue.Empty:
                if not self._cancelled.is_set():
                    continue
                deadline = deadline or time.monotonic() + GRACE_SECONDS
                if time.monotonic() >= deadline or not any(thread.is_alive() for thread in self._threads):
                    return
            else:
                self._left -= 1
                if isinstance(result, _Raised):
                    raise result.error
                yield result

    def _start(self) -> None:
        """As many threads as there is memory for, one at least."""
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:
                if number == 0:
                    raise
                del self._threads[number:]
                return

    def late(self, seconds: float) -> Iterator[Result]:
        """Yields results that arrive within `seconds`."""
        until = time.monotonic() + seconds
        while self._left and (wait := until - time.monotonic()) > 0:
            try:
                result = self._done.get(timeout=wait)
            except queue.Empty:
                return
            self._left -= 1
            if not isinstance(result, _Raised):
                yield result

    def _run(self) -> None:
        while not self._cancelled.is_set():
            with self._take:
                try:
                    item = next(self._remaining)
                except StopIteration:
                    return
            try:
                result: Result | _Raised = self._work(item)
            except BaseException as error:  # noqa: BLE001 - whoever waits for the result would wait for ever
                result = _Raised(error)
            self._done.put(result)
