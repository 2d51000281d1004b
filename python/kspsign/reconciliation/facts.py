"""The answer in values of JSON: schema kspsign.reconciliation/1, docs/reference/key-logs.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kspsign.model.plurals import count
from kspsign.model.report import RunWarning
from kspsign.model.version import VERSION
from kspsign.reconciliation.answer import EXIT_CODES, Account, Answer
from kspsign.reconciliation.schema import (
    SCHEMA,
    CountRecord,
    CoverageRecord,
    LedgerRecord,
    LogRecordCounts,
    SignatureRecord,
    TotalsRecord,
    UseRecord,
    WarningRecord,
)
from kspsign.reconciliation.tables import MATCHES, OUTCOMES, REASONS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def frame(found: Answer) -> dict[str, Any]:
    """All of the record but its four long lists, which are empty."""
    return {
        "schema": SCHEMA,
        "tool": f"kspsign {VERSION}",
        "result": found.result,
        "exit_code": EXIT_CODES[found.result],
        "since": _optional(found.scope.since),
        "until": _optional(found.scope.until),
        "keys": sorted(found.scope.keys),
        "clock_skew": found.skew,
        "ledgers": [
            LedgerRecord(
                name=facts.name,
                entries=facts.lines,
                uses=facts.uses,
                faults=[f"line {fault.line}: {fault.message}" for fault in facts.faults],
            )
            for facts in found.ledgers.facts
        ],
        "builds_without_ledger": found.ledgers.without,
        "logs": [
            LogRecordCounts(
                name=str(log.path),
                format=log.format,
                records=log.records_read,
                uses=log.uses,
                refused=log.refused,
                unreadable=log.unreadable,
                unreadable_records=[f"record {place}: {reason}" for place, reason in log.named],
            )
            for log in found.logs
        ],
        "coverage": [
            CoverageRecord(format=log_format, scope=scope, first=shown_time(first), last=shown_time(last))
            for (log_format, scope), (first, last) in sorted(found.coverage.spans.items())
        ],
        "totals": totals(found),
        "pipelines": _counts(found.pipelines),
        "people": _counts(found.people),
        "callers": _counts(found.callers),
        "days": _counts({shown_day(day): account for day, account in found.days.items()}),
        "warnings": [
            WarningRecord(code=warning.code, message=warning.message, remedy=warning.remedy)
            for warning in warnings(found)
        ],
        **{name: [] for name in LISTS},
    }


LISTS: Final = ("unaccounted", "missing", "not_covered", "uses")
"""The lists that grow with the log, in their order."""


def items(found: Answer, name: str) -> Iterator[UseRecord | SignatureRecord]:
    """The values of one of LISTS, one after another."""
    if name == "unaccounted":
        return (use_record(found, number) for number in found.unaccounted)
    if name == "uses":
        return (use_record(found, number) for number, match in enumerate(found.matcher.uses.match) if match)
    rows = found.missing if name == "missing" else found.not_covered
    return (signature_record(found, row) for row in rows)


def use_record(found: Answer, number: int) -> UseRecord:
    """One use of a key."""
    matcher, uses = found.matcher, found.matcher.uses
    match, row = MATCHES[uses.match[number]], uses.row[number]
    return UseRecord(
        time=shown_time(uses.times[number]),
        key=matcher.keys[uses.keys[number]].name,
        caller=matcher.callers[uses.callers[number]],
        address=matcher.addresses[uses.addresses[number]],
        request_id=uses.requests[number],
        log=str(found.logs[uses.logs[number]].path),
        place=uses.places[number],
        match=match,
        reason=REASONS[uses.reason[number]],
        among=found.among(number) if match == "none" else 0,
        signature=signature_record(found, row) if row >= 0 else None,
    )


def signature_record(found: Answer, row: int) -> SignatureRecord:
    """One signature of a ledger."""
    table, signer = found.ledgers.signatures, found.ledgers.signer(row)
    return SignatureRecord(
        use=table.uses[row].hex(),
        file=table.files[row],
        pipeline=signer.pipeline,
        build=signer.build,
        person=signer.person,
        outcome=OUTCOMES[table.outcomes[row]],
        asked=shown_time(table.asked[row]),
        answered=shown_time(table.answered[row]),
        ledger=found.ledgers.facts[signer.ledger].name,
    )


def totals(found: Answer) -> TotalsRecord:
    """The counts of the whole answer."""
    return TotalsRecord(
        uses=sum(found.matched.values()) + len(found.unaccounted),
        matched={name: found.matched[number] for number, name in enumerate(MATCHES) if number},
        unaccounted=len(found.unaccounted),
        repeated=found.repeated,
        outside=found.outside,
        outside_signatures=found.outside_signatures,
        signatures=sum(account.signatures for account in found.pipelines.values()),
        missing=len(found.missing),
        not_covered=len(found.not_covered),
        not_logged=found.not_logged,
        unreadable=found.unreadable,
        refused_ledgers=sum(not facts.accepted for facts in found.ledgers.facts),
    )


def warnings(found: Answer) -> list[RunWarning]:
    """What people should know besides: clocks that differ, signatures that were made for no file."""
    said = []
    if found.clocks:
        furthest = max(found.clocks, key=abs)
        said.append(
            RunWarning(
                "CLOCKS_DIFFER",
                f"the clock of the log is {shown_distance(furthest)} that of a build; its uses were matched by digest "
                "or request id, which no clock changes",
                f"Correct the clock of that agent, or allow for it with --clock-skew {_minutes(furthest)}m.",
            )
        )
    said += [
        RunWarning(
            "CLOCKS_MAY_DIFFER",
            f"{count(shift.uses, 'use')} and as many signatures are left over, and would match if the clock of the log "
            f"were {shown_distance(shift.seconds)} that of the builds",
            f"Find out whether a clock was wrong; only then, --clock-skew {_minutes(shift.seconds)}m matches them, and "
            "whatever else is as near.",
        )
        for shift in found.shifts
    ]
    wasted = sum(account.outcomes["discarded"] for account in found.pipelines.values())
    if wasted:
        said.append(
            RunWarning(
                "SIGNATURES_DISCARDED",
                f"{count(wasted, 'signature')} made for no file: a build signed more than it shipped",
                "Read the outcomes of its run in the ledger.",
            )
        )
    return said


def shown_time(seconds: float) -> str:
    """A time in UTC, to the millisecond."""
    moment = _EPOCH + timedelta(seconds=round(seconds, 3))
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def shown_day(day: int) -> str:
    """A day in UTC."""
    return f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"


def shown_distance(seconds: float) -> str:
    """How far one clock is from another: "10 min ahead of"."""
    return f"{abs(seconds) / 60:.0f} min {'ahead of' if seconds > 0 else 'slower than'}"


def _minutes(seconds: float) -> int:
    return int(abs(seconds) // 60) + 1


def _optional(seconds: float | None) -> str | None:
    return None if seconds is None else shown_time(seconds)


def _counts(accounts: Mapping[str, Account]) -> list[CountRecord]:
    return [
        CountRecord(
            name=name,
            signatures=account.signatures,
            uses=account.uses,
            unaccounted=account.unaccounted,
            missing=account.missing,
            not_covered=account.not_covered,
            outcomes=dict(sorted(account.outcomes.items())),
        )
        for name, account in sorted(accounts.items())
    ]
