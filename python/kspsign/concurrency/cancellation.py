"""Runs blocking calls on daemon threads, so that cancellation need not wait for them."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from kspsign.model.errors import CancelledError

Result = TypeVar("Result")

GRACE_SECONDS = 0.5
"""Seconds that work in progress gets to finish after cancellation; the whole shutdown takes less than two seconds."""
SIGNAL_SECONDS = 0.1
"""Longest single wait in seconds: on Windows the main thread handles no signal while it waits."""


def interruptible(step: Callable[[], Result], cancelled: threading.Event) -> Result:
    """The result of `step`, run on a daemon thread.

    Raises what `step` raises, or CancelledError if the run is cancelled and `step` does not end within GRACE_SECONDS.
    """
    outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((step(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            outcome.put((None, error))

    # In the context of the caller: who listens to calls of services is a variable of it.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="step", daemon=True).start()
    deadline: float | None = None
    while True:
        try:
            result, error = outcome.get(timeout=SIGNAL_SECONDS)
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
    """`resource` for the `with` block; neither entering nor leaving it delays the end of a cancelled run."""
    opened = interruptible(resource.__enter__, cancelled)
    try:
        yield opened
    except BaseException:
        raised = sys.exc_info()
        interruptible(lambda: resource.__exit__(*raised), cancelled)
        raise
    else:
        interruptible(lambda: resource.__exit__(None, None, None), cancelled)


@contextlib.contextmanager
def signals_cancelling(cancelled: threading.Event) -> Iterator[None]:
    """Signals that ask for an end set `cancelled`: files in hand are finished or undone, the report is written."""

    def cancel(_number: int, _frame: types.FrameType | None) -> None:
        cancelled.set()

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGBREAK")]
    before = {number: signal.signal(number, cancel) for number in numbers if number is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
