"""The outcomes of a run as they are kept until its report is written: with the number of files grows only what differs
from file to file."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from kspsign.model.report import FileOutcome

KEPT_WHOLE = 10_000
"""Files of a run of which all is kept; of further ones that are verified the report has the result without the checks,
and no durations."""
_MOST_SHARED = 4096

Value = TypeVar("Value", bound=Hashable)


class Keeper:
    """Gives each outcome the form in which it is kept; for one thread."""

    def __init__(self) -> None:
        self._kept = 0
        self._shared = lru_cache(maxsize=_MOST_SHARED)(_itself)

    def kept(self, outcome: FileOutcome) -> FileOutcome:
        """`outcome`, its parts shared with others that have the same. Of a verified file after the first
        KEPT_WHOLE the checks, which all passed, and the durations are not kept."""
        self._kept += 1
        verdict = outcome.verdict
        whole = not verdict.ok or self._kept <= KEPT_WHOLE
        checks = tuple(map(self._one, verdict.checks)) if whole else ()
        return replace(
            outcome,
            seconds=outcome.seconds if whole else {},
            began=outcome.began if whole else None,
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
