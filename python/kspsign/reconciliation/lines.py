"""The answer for a console, line by line; texts from outside are sanitized where they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from kspsign.reconciliation.answer import Account, Answer
from kspsign.reconciliation.facts import signature_record, use_record, warnings
from kspsign.reconciliation.words import (
    account_words,
    caller_words,
    coverage_words,
    ledger_words,
    log_words,
    matched_words,
    signature_words,
    use_words,
    verdict,
    without_words,
)

_T = TypeVar("_T")
LISTED: Final = 50
"""Uses or signatures of one kind that are listed for people; the report has all of them."""


def console_lines(found: Answer) -> Iterator[str]:
    """What was compared, the counts, each thing that does not match, and the verdict last."""
    facts = sorted(found.ledgers.facts, key=lambda ledger: ledger.accepted)
    yield from _listed("ledger", facts, lambda ledger: f"{ledger.name}: {ledger_words(ledger)}")
    yield from _listed("log", found.logs, lambda log: f"{log.path}: {log_words(log)}")
    if found.ledgers.without:
        yield without_words(found)
    for span in coverage_words(found):
        yield f"covered: {span}"
    yield f"matched: {matched_words(found)}"
    for title, accounts in (("pipeline", found.pipelines), ("person", found.people)):
        yield from _listed(title, ranked(accounts), lambda item: f"{item[0] or 'not known'}: {account_words(item[1])}")
    yield from _listed("caller", ranked(found.callers), caller_words)
    for warning in warnings(found):
        yield f"warning: {warning.message}. {warning.remedy}"
    yield from _listed("UNACCOUNTED use", found.unaccounted, lambda number: use_words(use_record(found, number)))
    for title, rows in (("MISSING from the log", found.missing), ("NOT COVERED by a log", found.not_covered)):
        yield from _listed(title, rows, lambda row: signature_words(signature_record(found, row)))
    yield f"kspsign reconcile: {verdict(found)}"


def ranked(accounts: Mapping[str, Account]) -> list[tuple[str, Account]]:
    """Accounts by name, those with unaccounted uses first."""
    return sorted(accounts.items(), key=lambda item: (-item[1].unaccounted, item[0]))


def _listed(title: str, values: Sequence[_T], words: Callable[[_T], str]) -> Iterator[str]:
    for value in values[:LISTED]:
        yield f"{title}: {words(value)}"
    if len(values) > LISTED:
        yield f"{title}: {len(values) - LISTED} more, in the report"
