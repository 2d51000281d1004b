"""The report's part on the uses of the key, `ledger` in the schema kspsign.report/1; units as in values.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kspsign.model.written_ledger import AnchorFacts, MonthFacts, RotationFacts


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
