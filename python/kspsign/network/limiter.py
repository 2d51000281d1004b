"""Limits concurrent requests to a service: threads wait for the turn that its `LoadLimit` gives them.

One limiter belongs to one service.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from kspsign.model.errors import CancelledError
from kspsign.model.signing_facts import LimitFacts
from kspsign.model.values import iso_utc
from kspsign.network.load_limit import START, LoadLimit, Slot

_POLL_SECONDS = 0.5


class Limiter:
    """Admits as many parallel requests as `ceiling`, `spacing` and the service's answers allow (`LoadLimit`)."""

    def __init__(self, ceiling: int, cancelled: threading.Event, spacing: float = 0.0, *, start: int = START) -> None:
        self.ceiling = ceiling
        self._cancelled = cancelled
        self._turn = threading.Condition()
        self._load = LoadLimit(ceiling, spacing, start=start)
        self.waiting = 0
        self._began: datetime | None = None

    @contextlib.contextmanager
    def slot(self, wanted: Callable[[], bool] | None = None) -> Iterator[Slot]:
        """Wait for a turn (see `enter`) and take it; an exception within says nothing about load."""
        slot = self.enter(wanted)
        try:
            yield slot
        except BaseException:
            slot.answered = False
            raise
        finally:
            self.leave(slot)

    def enter(self, wanted: Callable[[], bool] | None = None) -> Slot:
        """Wait for a turn, which `leave` ends; one that is not taken when `wanted`, asked while waiting, says no.

        Raises CancelledError.
        """
        with self._turn:
            self.waiting += 1
            try:
                while (pause := self._load.pause(time.monotonic())) > 0 or self._load.free <= 0:
                    if self._cancelled.is_set():
                        raise CancelledError
                    if wanted is not None and not wanted():
                        return Slot(self._load.epoch, 0.0, taken=False)
                    self._turn.wait(min(pause, _POLL_SECONDS) if pause > 0 else _POLL_SECONDS)
            finally:
                self.waiting -= 1
            self._began = self._began or datetime.now(UTC)
            return self._load.admit(time.monotonic())

    def leave(self, slot: Slot) -> None:
        """The request is over."""
        if not slot.taken:
            return
        with self._turn:
            self._load.release(slot, time.monotonic())
            self._turn.notify(max(1, self._load.free))

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._load.in_flight

    @property
    def pending(self) -> int:
        """Requests under way or waiting for their turn."""
        return self.in_flight + self.waiting

    @property
    def facts(self) -> LimitFacts:
        """What it came to, for the report."""
        with self._turn:
            began = None if self._began is None else iso_utc(self._began, timespec="milliseconds")
            return replace(self._load.facts, began=began)
