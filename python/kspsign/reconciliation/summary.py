"""The answer as Markdown (GitHub's tables), words from outside without any meaning in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from kspsign.publishing.sanitize import clipped, markdown_text
from kspsign.reconciliation.answer import Account, Answer
from kspsign.reconciliation.facts import signature_record, use_record, warnings
from kspsign.reconciliation.lines import LISTED, ranked
from kspsign.reconciliation.words import (
    account_words,
    coverage_words,
    days_words,
    ledger_words,
    log_words,
    matched_words,
    place_words,
    verdict,
    why_words,
)

_CELL: Final = 300
_T = TypeVar("_T")
Cells = tuple[str, ...]


def summary_text(found: Answer) -> str:
    """The answer in tables; of each kind the first LISTED rows."""
    said = verdict(found)
    lines = ["# Uses of the key", "", f"{markdown_text(said[:1].upper() + said[1:])}.", ""]
    lines += [f"Matched: {markdown_text(matched_words(found))}.", ""]
    lines += _differences(found)
    lines += _section(
        "Warnings", ("Warning", "Remedy"), warnings(found), lambda warning: (warning.message, warning.remedy)
    )
    lines += _counts(found)
    sources = [(f"ledger {facts.name}", ledger_words(facts)) for facts in found.ledgers.facts]
    sources += [(f"log {log.path}", log_words(log)) for log in found.logs]
    lines += _section("What was compared", ("Source", "Content"), sources, lambda source: source)
    lines += [f"Covered: {markdown_text('; '.join(coverage_words(found)) or 'no time')}."]
    return "\n".join(lines).rstrip("\n") + "\n"


def _differences(found: Answer) -> list[str]:
    """Uses without a signature, and signatures without a use."""

    def use(number: int) -> Cells:
        known = use_record(found, number)
        record = f"{known['log']}, {known['place']}"
        return known["time"], known["key"], known["caller"], known["address"], why_words(known), record

    def signature(row: int) -> Cells:
        known = signature_record(found, row)
        return known["asked"], place_words(known), known["outcome"], known["ledger"]

    head = ("Time", "Key", "Caller", "Address", "Why", "Record")
    lines = _section("Uses that no build accounts for", head, found.unaccounted, use)
    for title, rows in (
        ("Signatures that the log lacks", found.missing),
        ("Signatures that no log covers", found.not_covered),
    ):
        lines += _section(title, ("Asked", "File", "Outcome", "Ledger"), rows, signature)
    return lines


def _counts(found: Answer) -> list[str]:
    """Signatures and uses by pipeline, person, caller and day."""

    def signatures(account: tuple[str, Account]) -> Cells:
        return account[0] or "not known", account_words(account[1])

    def uses(account: tuple[str, Account]) -> Cells:
        return account[0] or "not named", str(account[1].uses), str(account[1].unaccounted)

    lines = []
    for title, accounts in (("Pipelines", found.pipelines), ("People", found.people)):
        lines += _section(title, (title, "Signatures"), ranked(accounts), signatures)
    head = ("Caller", "Uses", "Unaccounted")
    lines += _section("Callers of the service", head, ranked(found.callers), uses)
    head_of_days = ("Day", "Uses", "Signatures", "Unaccounted", "Missing", "Not covered")
    return lines + _section("Days", head_of_days, days_words(found), lambda day: day)


def _section(title: str, head: Cells, values: Sequence[_T], cells: Callable[[_T], Cells]) -> list[str]:
    if not values:
        return []
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for value in values[:LISTED]:
        row = (markdown_text(clipped(cell, _CELL)) or "-" for cell in cells(value))
        lines.append(f"| {' | '.join(row)} |")
    lines.append("")
    if len(values) > LISTED:
        lines += [f"{len(values) - LISTED} more: in the report.", ""]
    return lines
