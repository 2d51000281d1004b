"""How long each step of one file took."""

from __future__ import annotations

import time


class StepClock:
    """Seconds by step, from one lap to the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Attribute the time since the last lap to `step`."""
        now = time.perf_counter()
        self.seconds[step] = round(now - self._last, 6)
        self._last = now
