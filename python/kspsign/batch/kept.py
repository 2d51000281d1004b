"""The outcomes of a run as they are kept until its report is written: with the number of files grows only what differs
from file to file."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from kspsign.model.report import FileOutcome

CHECKS_LISTED = 10_000
"""Files of a run whose checks are all kept; of further ones that are verified the report has the result alone."""
_MOST_SHARED = 4096

Value = TypeVar("Value", bound=Hashable)


class Keeper:
    """Gives each outcome the form in which it is kept; for one thread."""

    def __init__(self) -> None:
        self._kept = 0
        self._shared = lru_cache(maxsize=_MOST_SHARED)(_itself)

    def kept(self, outcome: FileOutcome) -> FileOutcome:
        """`outcome`, its parts shared with others that have the same. Of a verified file after the first
        CHECKS_LISTED only the result of its verification is kept: all of its checks passed."""
        self._kept += 1
        verdict = outcome.verdict
        listed = not verdict.ok or self._kept <= CHECKS_LISTED
        checks = tuple(map(self._one, verdict.checks)) if listed else ()
        return replace(
            outcome,
            signatures=self._one(outcome.signatures),
            verdict=self._one(replace(verdict, checks=checks)),
            error=self._one(outcome.error),
        )

    def _one(self, value: Value) -> Value:
        """The first value that is equal to this one."""
        shared: Value = self._shared(value)
        return shared


def _itself(value: Value) -> Value:
    return value
