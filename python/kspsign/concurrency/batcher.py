"""Batches the requests of many threads into few calls: of an external program, or of a service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from kspsign.model.errors import CancelledError

Item = TypeVar("Item")
Result = TypeVar("Result")

_QUIET_SECONDS = 0.03
_LINGER_SECONDS = 0.25
_LONGEST_LINGER = 8
"""Times the quiet that is waited for, at most."""
_LONGEST_PATIENCE = 2.0
"""Seconds: a batch that took minutes, or hung until it was stopped, does not keep the next one waiting."""


@dataclass(frozen=True, slots=True)
class BatchShare:
    """Batches of at most `size` items, at most `processes` at a time. One has at least `least` of the items that wait,
    where a process costs more to start than its items take."""

    size: int
    processes: int
    least: int = 1

    def of(self, waiting: int, busy: int) -> int:
        """How many of `waiting` items the next batch gets while `busy` processes work."""
        spread = -(-waiting // max(1, self.processes - busy))
        return min(max(spread, self.least), self.size)


class Batcher(Generic[Item, Result]):
    """Collects items and passes them to `work` in batches as `share` has them; another share can be set at any time.

    `work` returns one result, or the exception to raise, per item, in order. A signature over the network takes
    seconds, so waiting items are spread over the free processes before any process gets a second one. A batch is begun
    once no further item came for `quiet` seconds, which is worth more where a second batch costs more; or for the share
    `patience` of what the last batch took, if that is longer, but not for many seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        share: BatchShare,
        *,
        quiet: float = _QUIET_SECONDS,
        patience: float = 0.0,
    ) -> None:
        self._work = work
        self._share = share
        self._quiet = quiet
        self._patience = patience
        self._last_seconds = 0.0
        self._waiting: list[tuple[Item, Future[Result]]] = []
        self._pending = self._busy = 0
        self._closed = False
        self._changed = threading.Condition()
        self._gatherer = threading.Thread(target=self._gather, name="gather", daemon=True)
        self._gatherer.start()

    def ask(self, item: Item) -> Result:
        """The result for `item` once its batch is done; raises the exception that `work` returned for it.

        Raises CancelledError when the batcher is closed, as a thread of a cancelled run may find it.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise CancelledError
            self._waiting.append((item, future))
            self._pending += 1
            self._changed.notify_all()
        try:
            return future.result()
        finally:
            with self._changed:
                self._pending -= 1

    @property
    def pending(self) -> int:
        """How many callers wait for a result."""
        return self._pending

    def set_share(self, share: BatchShare) -> None:
        """What the batches from now on are like."""
        with self._changed:
            self._share = share
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for batches in progress and stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._gatherer.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _gather(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting and self._busy < self._share.processes):
                    if self._closed and not self._waiting:
                        return
                    self._changed.wait()
                self._linger()
                if self._busy >= self._share.processes:
                    continue  # there are to be fewer meanwhile
                batch, self._waiting = self._take(self._share.of(len(self._waiting), self._busy))
                self._busy += 1
            # A daemon, as the gatherer is: what waits for a service must not hold up the end of a cancelled run.
            threading.Thread(target=self._run, args=(batch,), name="batch", daemon=True).start()

    def _take(self, count: int) -> tuple[list[tuple[Item, Future[Result]]], list[tuple[Item, Future[Result]]]]:
        return self._waiting[:count], self._waiting[count:]

    def _linger(self) -> None:
        """Wait briefly while more items arrive; the lock is released meanwhile."""
        quiet = max(self._quiet, min(self._patience * self._last_seconds, _LONGEST_PATIENCE))
        until = time.monotonic() + max(_LINGER_SECONDS, _LONGEST_LINGER * quiet)
        while (
            len(self._waiting) < self._share.size * self._share.processes
            and time.monotonic() < until
            and not self._closed
        ):
            if not self._changed.wait(quiet):
                return

    def _run(self, batch: Sequence[tuple[Item, Future[Result]]]) -> None:
        results: Sequence[Result | Exception]
        started = time.monotonic()
        try:
            results = self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to every caller that waits, not to this thread
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        with self._changed:
            self._busy -= 1
            self._last_seconds = time.monotonic() - started
            self._changed.notify_all()
