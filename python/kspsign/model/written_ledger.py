"""What the report's part on the uses of the key (ledger_facts.py) has besides where a ledger is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnchorFacts:
    """Report: the last line that the run wrote to a ledger: its number, and the SHA-256 of its bytes."""

    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RotationFacts:
    """Report: the key has another certificate than in the run before: both thumbprints, and when each ends."""

    old: str
    new: str
    old_not_after: str
    new_not_after: str


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """Report: signatures that the definition spent in the calendar month `month` ("2026-01", UTC), by the ledger; the
    limit, if there is one; and what the month comes to if it goes on like this."""

    month: str
    spent: int
    limit: int | None
    forecast: int
