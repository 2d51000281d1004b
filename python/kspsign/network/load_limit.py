"""How many requests a service gets at once, adapting to its answers (AIMD with slow start); pure, times are given.

It starts low, doubles per round trip while latency is stable, and halves when the service says that it is too much. The
number that last went well is then kept, and tried again only rarely.
"""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.model.signing_facts import LimitFacts, LimitPoint
from kspsign.network.retry import LONGEST_PAUSE, pause_before

START = 4
PATIENCE, MOST_PATIENCE = 4, 8
"""Round trips without complaint before more than what was known to go well is tried; the most, after trials that
failed. Longer, and many jobs that share a key leave it idle once others have ended; shorter, and one job alone loses
more by trials."""
FIRST_PAUSE, MOST_DOUBLINGS = 0.5, 6
"""Seconds without a request after a complaint that does not say how long; twice as long after each in a row."""
CURVE_POINTS = 200
"""Points of the curve that are kept; of a longer one every other is dropped."""
_UNSTABLE = 2.0
_NOISE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class Slot:
    """One request that is admitted, unless it is not `taken`; its result is reported before it ends."""

    epoch: int
    started: float
    taken: bool = True
    complaint: bool = False
    retry_after: float | None = None
    answered: bool = True

    def throttled(self, retry_after: float | None) -> None:
        """The service is throttling (429, 503), or did not answer in time; `seconds` to wait if it said so."""
        self.complaint, self.retry_after = True, retry_after


class LoadLimit:
    """Admits a changing number of parallel requests, never more than `ceiling`, begun `spacing` seconds apart; see the
    module. All times are of one clock that never goes back, in seconds.
    """

    def __init__(self, ceiling: int, spacing: float = 0.0, *, start: int = START) -> None:
        self.ceiling = ceiling
        self.epoch = 0
        self.in_flight = 0
        self._spacing = spacing
        self._limit = min(start, ceiling)
        self._target = ceiling
        self._proven = 0
        self._patience, self._calm = PATIENCE, 0
        self._resume = 0.0
        self._best = float("inf")
        self._window: list[float] = []
        self._full = False
        self._first = self._last = 0.0
        self._peak = self._answers = self._complaints = self._pauses = 0
        self._curve: list[LimitPoint] = []

    def pause(self, now: float) -> float:
        """Seconds from `now` on in which nothing is admitted, at most 0 when there are none."""
        return self._resume - now

    @property
    def free(self) -> int:
        """Requests that may begin, as far as those under way are concerned."""
        return self._limit - self.in_flight

    def admit(self, now: float) -> Slot:
        """A request begins at `now`: there is no pause, and room for it."""
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        self._full = self._full or self.in_flight >= self._limit
        if self._spacing:
            self._resume = max(self._resume, now + self._spacing)
        self._first = self._first or now
        if not self._curve:
            self._plot(now)
        return Slot(self.epoch, now)

    def release(self, slot: Slot, now: float) -> None:
        """The request is over at `now`."""
        self.in_flight -= 1
        if slot.complaint:
            self._complained(slot, now)
        elif slot.answered:
            self._answers += 1
            self._last = now
            self._window.append(now - slot.started)
            if len(self._window) >= self._limit:
                self._round_trip()
        self._plot(now)

    @property
    def facts(self) -> LimitFacts:
        """What it came to, for the report."""
        seconds = self._last - self._first
        return LimitFacts(
            ceiling=self.ceiling,
            in_flight=self._limit,
            peak=self._peak,
            answers=self._answers,
            throttled=self._complaints,
            per_second=round(self._answers / seconds, 2) if seconds > 0 else 0.0,
            curve=tuple(self._curve),
        )

    def _plot(self, now: float) -> None:
        """Add a point to the curve where it bends."""
        last = self._curve[-1] if self._curve else None
        if last is None or (last.limit, last.throttled) != (self._limit, self._complaints):
            self._curve.append(LimitPoint(round(now - self._first, 3), self._limit, self._complaints))
            if len(self._curve) > CURVE_POINTS:
                del self._curve[1::2]

    def _round_trip(self) -> None:
        """As many answers as are let through at once: time to look whether more would go."""
        latency = sorted(self._window)[len(self._window) // 2]
        self._best = min(self._best, latency)
        stable = latency <= _UNSTABLE * self._best + _NOISE_SECONDS
        if self._full:
            self._pauses = 0
            self._proven = max(self._proven, self._limit)
            if stable:
                self._grow()
        self._window.clear()
        self._full = False

    def _grow(self) -> None:
        if self._limit < self._target:
            self._limit = min(self._limit * 2, self._target)
        elif self._limit < self.ceiling:
            self._calm += 1
            if self._calm >= self._patience:
                if self._calm > self._patience:  # a trial went well
                    self._patience = max(PATIENCE, self._patience // 2)
                # From here on every calm round trip goes one step further, until the next complaint.
                self._limit = self._target = min(self._limit + max(1, self._limit // 4), self.ceiling)

    def _complained(self, slot: Slot, now: float) -> None:
        """Halve, once for all requests that were under way together."""
        self._complaints += 1
        if slot.epoch == self.epoch:
            self.epoch += 1
            self._pauses += 1
            if self._limit > self._proven:
                if self._calm >= self._patience:
                    self._patience = min(self._patience * 2, MOST_PATIENCE)
            else:
                self._proven = max(1, self._limit - max(1, self._limit // 4))
            self._target = max(1, self._proven, self._limit // 2)
            self._limit = max(1, self._limit // 2)
            self._calm = 0
            self._window.clear()
            self._full = False
        pause = pause_before(min(self._pauses, MOST_DOUBLINGS), FIRST_PAUSE, slot.retry_after)
        self._resume = max(self._resume, now + (LONGEST_PAUSE if pause is None else pause))
