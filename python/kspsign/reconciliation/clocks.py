"""The clocks of builds against those of logs, by what was matched for sure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from kspsign.reconciliation.ledgers import Ledgers
from kspsign.reconciliation.matching import WINDOW, Matcher, Traits

_ALIKE: Final = 60.0
"""Seconds by which the distances of uses and signatures may differ for one clock to explain them."""


class Clocks:
    """How far the log's clock is ahead of that of each run, in seconds."""

    def __init__(self, ledgers: Ledgers, matcher: Matcher) -> None:
        self._ledgers = ledgers
        self._sums: dict[int, float] = {}
        self._counts: dict[int, int] = {}
        for number, match in enumerate(matcher.uses.match):
            if match and match != WINDOW:
                clock = ledgers.signer(matcher.uses.row[number]).clock
                self._sums[clock] = self._sums.get(clock, 0.0) + matcher.offset(number)
                self._counts[clock] = self._counts.get(clock, 0) + 1

    def asked(self, row: int) -> float:
        """When the signature was asked for, by the log's clock as far as it is known."""
        return self._ledgers.signatures.asked[row] + self.offset(self._ledgers.signer(row).clock)

    def offset(self, clock: int) -> float:
        """The mean offset of a run; 0 where nothing of it was matched for sure."""
        return self._sums.get(clock, 0.0) / self._counts.get(clock, 1)

    def beyond(self, skew: float) -> list[float]:
        """The offsets of runs that are larger than `skew`."""
        return [offset for offset in map(self.offset, self._sums) if abs(offset) > skew]


class Shift(NamedTuple):
    """Uses and signatures that are left over, and would match if a clock were wrong by `seconds`."""

    uses: int
    seconds: float


def shifts(ledgers: Ledgers, matcher: Matcher, numbers: list[int], rows: list[int]) -> Iterator[Shift]:
    """For each key of the log: whether as many of its uses as signatures are left, the same distance apart, and only
    the time could match them. Of one use alone that says nothing."""
    by_key: dict[tuple[int, Traits], list[float]] = {}
    for number in numbers:
        found = by_key.setdefault((matcher.uses.keys[number], matcher.traits(number)), [])
        found.append(matcher.uses.times[number])
    rows_by_key: dict[int, list[int]] = {}
    for row in rows:
        rows_by_key.setdefault(ledgers.signer(row).key, []).append(row)
    for (log_key, traits), times in by_key.items():
        known = [some for key, some in rows_by_key.items() if matcher.belongs(key, log_key)]
        free = (row for row in chain.from_iterable(known) if matcher.time_decides(traits, row))
        asked = sorted(map(ledgers.signatures.asked.__getitem__, free))
        if len(asked) == len(times) > 1:
            distances = [use - signature for use, signature in zip(sorted(times), asked, strict=True)]
            if max(distances) - min(distances) <= _ALIKE:
                yield Shift(len(times), max(distances, key=abs))
