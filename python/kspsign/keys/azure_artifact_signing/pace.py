"""When the state of an operation is asked for: late enough to cost few requests, soon enough not to wait in vain."""

from __future__ import annotations

from collections import deque
from typing import Final

_FIRST_STEP, _STEP_GROWTH, _LONGEST_STEP = 0.05, 0.01, 1.0
_NEAR_STEP = 0.02
"""Between requests where the end is near."""
_LONGEST_LEAD: Final = 2.0
"""An operation is only seen to end when it is asked for: after slow ones no longer pause may hide that it became
fast."""
_RECENT: Final = 32
"""Operations that the usual duration is taken from: as many as are in progress at once."""
_LEAD = 0.95
"""Asked first at this share of the shortest recent duration, so that a service that becomes faster is noticed."""


class PollingPace:
    """The pauses between requests for an operation's state; safe to share between threads.

    The operations of a run take about the same time. Once some have ended, the others are left alone for nearly as
    long, instead of being asked for a dozen times.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def record(self, seconds: float) -> None:
        """An operation ended `seconds` after it began."""
        self._recent.append(seconds)

    def pause(self, elapsed: float, rounds: int) -> float:
        """Seconds until the next request, `elapsed` seconds and `rounds` requests after the operation began."""
        recent = list(self._recent)
        lead = min(recent) * _LEAD - elapsed if recent else 0.0
        if lead > _NEAR_STEP:
            return min(lead, _LONGEST_LEAD)
        step = _NEAR_STEP if recent else _FIRST_STEP
        return min(step + _STEP_GROWTH * rounds, _LONGEST_STEP)
