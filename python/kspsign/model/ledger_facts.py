"""The report's part on the uses of the key, `ledger` in the schema kspsign.report/1; units as in values.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class KeyUseFacts:
    """Report: one signature that the key was asked for. `use` is its id in the ledger, `digest` hex (None where a tool
    of others took it), `attempt` counts this run's requests for the same digest. Times have milliseconds. `request_id`
    and `operation` are what the service's log calls the request. `file` is the first that it was for.
    """

    use: str
    digest: str | None
    algorithm: str
    attempt: int
    asked: str
    answered: str | None
    certificate: str | None
    request_id: str | None
    operation: str | None
    file: str | None
    outcome: Literal["embedded", "kept", "discarded", "lost", "refused"]


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


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """Report: the uses of the key. `run` is the run's id in the ledger (None of several slices), `file` the ledger and
    `anchor` its last line of this run; None without --ledger. `asked` counts all uses, `outcomes` what became of them;
    `uses` are the first."""

    run: str | None
    file: str | None
    anchor: AnchorFacts | None
    asked: int
    outcomes: dict[str, int] = field(default_factory=dict)
    rotation: RotationFacts | None = None
    month: MonthFacts | None = None
    uses: tuple[KeyUseFacts, ...] = ()
