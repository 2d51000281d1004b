"""The keys of the JSON report: schema kspsign.reconciliation/1, docs/reference/key-logs.md."""

from __future__ import annotations

from typing import Any, Final, Literal

from typing_extensions import TypedDict  # pydantic makes a schema of no other before Python 3.12

from kspsign.reconciliation.answer import Result
from kspsign.reconciliation.tables import Match, Outcome, Reason

SCHEMA: Final = "kspsign.reconciliation/1"


class SignatureRecord(TypedDict):
    """A signature by a ledger. `use` is the ledger's id of it, `asked` and `answered` are times of the build's clock,
    `build` and `pipeline` are of the run that asked for it; empty texts are not known."""

    use: str
    file: str
    pipeline: str
    build: str
    person: str
    outcome: Outcome
    asked: str
    answered: str
    ledger: str


class UseRecord(TypedDict):
    """A use of a key by its log. `place` is the line of the log, or the number of the record in a JSON document.

    `match` says how it was matched with `signature`. Where it is "none", `reason` says why, `signature` is the one that
    the reason is about, and `among` counts uses near it that were matched by their time alone: any of these may be the
    one that no build accounts for.
    """

    time: str
    key: str
    caller: str
    address: str
    request_id: str
    log: str
    place: int
    match: Match
    reason: Reason
    among: int
    signature: SignatureRecord | None


class LedgerRecord(TypedDict):
    """A ledger: how many entries and uses it has. One with `faults` in its chain accounts for nothing."""

    name: str
    entries: int
    uses: int
    faults: list[str]


class LogRecordCounts(TypedDict):
    """A log: its records by kind, and the first that can't be read."""

    name: str
    format: str | None
    records: int
    uses: int
    refused: int
    unreadable: int
    unreadable_records: list[str]


class CoverageRecord(TypedDict):
    """The time that the log of a part of a service covers."""

    format: str
    scope: str
    first: str
    last: str


class CountRecord(TypedDict):
    """Counts of a pipeline, a person, a caller of the service or a day (UTC)."""

    name: str
    signatures: int
    uses: int
    unaccounted: int
    missing: int
    not_covered: int
    outcomes: dict[str, int]


class TotalsRecord(TypedDict):
    """How many uses the logs have and signatures the ledgers, and what became of them."""

    uses: int
    matched: dict[str, int]
    unaccounted: int
    repeated: int
    outside: int
    outside_signatures: int
    signatures: int
    missing: int
    not_covered: int
    not_logged: int
    unreadable: int
    refused_ledgers: int


class WarningRecord(TypedDict):
    """What people should know besides."""

    code: str
    message: str
    remedy: str


class ReconciliationRecord(TypedDict):
    """The whole answer; `uses` holds every use that was matched, and `unaccounted` those that were not."""

    schema: Literal["kspsign.reconciliation/1"]
    tool: str
    result: Result
    exit_code: int
    since: str | None
    until: str | None
    keys: list[str]
    clock_skew: float
    ledgers: list[LedgerRecord]
    builds_without_ledger: list[int]
    logs: list[LogRecordCounts]
    coverage: list[CoverageRecord]
    totals: TotalsRecord
    pipelines: list[CountRecord]
    people: list[CountRecord]
    callers: list[CountRecord]
    days: list[CountRecord]
    warnings: list[WarningRecord]
    unaccounted: list[UseRecord]
    missing: list[SignatureRecord]
    not_covered: list[SignatureRecord]
    uses: list[UseRecord]


def reconciliation_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the answer."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - takes long to import, and only `kspsign schema` asks

    schema = TypeAdapter(ReconciliationRecord).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
