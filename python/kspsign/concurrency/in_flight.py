"""Steps under way in any thread, and waiting a moment until there is none."""

from __future__ import annotations

import threading


class InFlight:
    """Counts the threads inside its `with` block."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        """A step begins."""
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        """It is over."""
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until no step is under way, `seconds` at most; whether that came about."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)
