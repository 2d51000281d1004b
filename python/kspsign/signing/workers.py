"""Files side by side: threads that take one after the other and hand back each result as it is there."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from kspsign.errors import CancelledError

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE_SECONDS = 0.5
"""How long what is in hand may take to end after the run was cancelled; all together take less than two seconds."""
_SIGNAL_SECONDS = 0.1
"""How long a wait may last: on Windows the main thread takes no signal while it waits."""


class Workers(Generic[Item, Result]):
    """`work(item)` of every item, at most `jobs` at a time; `work` must not raise.

    Nothing is begun once `cancelled` is set. The threads do not hold up the end of the process: one that hangs in a
    service that does not answer is abandoned.
    """

    def __init__(
        self, work: Callable[[Item], Result], items: Sequence[Item], jobs: int, cancelled: threading.Event
    ) -> None:
        self._work, self._cancelled = work, cancelled
        self._left = len(items)
        self._remaining = iter(items)
        self._take = threading.Lock()
        self._done: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"file-{number}", daemon=True)
            for number in range(min(jobs, len(items)))
        ]

    def results(self, tick: Callable[[], object]) -> Iterator[Result]:
        """Each result in the order of completion; all of them, unless the run is cancelled.

        `tick` is called from time to time. After the end of a cancelled run `late` may still have some.
        """
        for thread in self._threads:
            thread.start()
        deadline: float | None = None
        while self._left:
            tick()
            try:
                yield self._done.get(timeout=_SIGNAL_SECONDS)
            except queue.Empty:
                if not self._cancelled.is_set():
                    continue
                deadline = deadline or time.monotonic() + GRACE_SECONDS
                if time.monotonic() >= deadline or not any(thread.is_alive() for thread in self._threads):
                    return
            else:
                self._left -= 1

    def late(self, seconds: float) -> Iterator[Result]:
        """What still comes in within `seconds`."""
        until = time.monotonic() + seconds
        while self._left and (wait := until - time.monotonic()) > 0:
            try:
                result = self._done.get(timeout=wait)
            except queue.Empty:
                return
            self._left -= 1
            yield result

    def _run(self) -> None:
        while not self._cancelled.is_set():
            with self._take:
                try:
                    item = next(self._remaining)
                except StopIteration:
                    return
            self._done.put(self._work(item))


def interruptible(step: Callable[[], Result], cancelled: threading.Event) -> Result:
    """What `step` returns or raises. Raises CancelledError when the run is cancelled and `step` does not end soon."""
    outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((step(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            outcome.put((None, error))

    threading.Thread(target=run, name="step", daemon=True).start()
    deadline: float | None = None
    while True:
        try:
            result, error = outcome.get(timeout=_SIGNAL_SECONDS)
        except queue.Empty:
            if cancelled.is_set():
                deadline = deadline or time.monotonic() + GRACE_SECONDS
                if time.monotonic() >= deadline:
                    raise CancelledError from None
        else:
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # without an error there is a result


@contextlib.contextmanager
def entered(resource: AbstractContextManager[Result], cancelled: threading.Event) -> Iterator[Result]:
    """`resource` for the `with` block; neither opening nor closing it holds up the end of a cancelled run."""
    opened = interruptible(resource.__enter__, cancelled)
    try:
        yield opened
    except BaseException:
        raised = sys.exc_info()
        interruptible(lambda: resource.__exit__(*raised), cancelled)
        raise
    else:
        interruptible(lambda: resource.__exit__(None, None, None), cancelled)
