"""How a timestamp server has been doing, and whether it is worth asking now; pure, times are given."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_REST, LONGEST_REST = 0.5, 60.0
"""Seconds that a server is left alone after a failure; twice as long after each further one in a row."""
_MOST_DOUBLINGS = 10


@dataclass(slots=True)
class ServerHealth:
    """Failures in a row, and the rest that they give the server. All times are of one clock that never goes back, in
    seconds."""

    failed_in_a_row: int = 0
    _rests_until: float = 0.0
    _on_trial: bool = False

    def rests(self, now: float) -> float:
        """Seconds from `now` on in which it is still left alone."""
        return max(self._rests_until - now, 0.0)

    def is_well(self, now: float) -> bool:
        """Whether it is worth asking. After a rest one caller alone hears yes, until it is known how it went."""
        if not self.failed_in_a_row:
            return True
        if self._on_trial or self.rests(now):
            return False
        self._on_trial = True
        return True

    def succeeded(self) -> None:
        """It gave a usable token."""
        self._on_trial = False
        self.failed_in_a_row = 0

    def failed(self, now: float) -> None:
        """It gave none."""
        self._on_trial = False
        self.failed_in_a_row += 1
        doublings = min(self.failed_in_a_row - 1, _MOST_DOUBLINGS)
        self._rests_until = now + min(FIRST_REST * 2.0**doublings, LONGEST_REST)
