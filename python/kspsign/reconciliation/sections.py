"""The answer as tables of texts, for Markdown and for the HTML page; no text is made safe for either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from kspsign.reconciliation.answer import Account, Answer
from kspsign.reconciliation.facts import signature_record, use_record, warnings
from kspsign.reconciliation.lines import ranked
from kspsign.reconciliation.words import (
    MATCH_WORDS,
    account_words,
    days_words,
    ledger_words,
    log_words,
    place_words,
    why_words,
)

Cells = tuple[str, ...]
UNACCOUNTED: Final = "Uses that no build accounts for"


class Section(NamedTuple):
    """A table: `cells` makes the row of one of `values`."""

    title: str
    head: Cells
    values: Sequence[Any]
    cells: Callable[[Any], Cells]

    def rows(self, limit: int) -> Iterator[Cells]:
        """The first rows."""
        return (self.cells(value) for value in islice(self.values, limit))


def sections(found: Answer) -> Iterator[Section]:
    """All tables that have a row, but the one of uses that match: what differs comes first."""
    said = [*_differences(found), _warnings(found), *_counts(found), _sources(found)]
    return (section for section in said if section.values)


def matched_uses(found: Answer) -> Section:
    """Each use that was matched, with its file and build."""

    def use(number: int) -> Cells:
        known = use_record(found, number)
        signature = known["signature"]
        file = place_words(signature) if signature is not None else ""
        record = f"{known['log']}, {known['place']}"
        return known["time"], known["key"], known["caller"], MATCH_WORDS[known["match"]], file, record

    numbers = [number for number, match in enumerate(found.matcher.uses.match) if match]
    head = ("Time", "Key", "Caller", "Matched", "File", "Record")
    return Section("Uses that a build accounts for", head, numbers, use)


def _differences(found: Answer) -> Iterator[Section]:
    """Uses without a signature, and signatures without a use."""

    def use(number: int) -> Cells:
        known = use_record(found, number)
        record = f"{known['log']}, {known['place']}"
        return known["time"], known["key"], known["caller"], known["address"], why_words(known), record

    def signature(row: int) -> Cells:
        known = signature_record(found, row)
        return known["asked"], place_words(known), known["outcome"], known["ledger"]

    yield Section(UNACCOUNTED, ("Time", "Key", "Caller", "Address", "Why", "Record"), found.unaccounted, use)
    head = ("Asked", "File", "Outcome", "Ledger")
    yield Section("Signatures that the log lacks", head, found.missing, signature)
    yield Section("Signatures that no log covers", head, found.not_covered, signature)


def _warnings(found: Answer) -> Section:
    return Section(
        "Warnings", ("Warning", "Remedy"), warnings(found), lambda warning: (warning.message, warning.remedy)
    )


def _counts(found: Answer) -> Iterator[Section]:
    """Signatures and uses by pipeline, person, caller and day."""

    def signatures(account: tuple[str, Account]) -> Cells:
        return account[0] or "not known", account_words(account[1])

    def uses(account: tuple[str, Account]) -> Cells:
        return account[0] or "not named", str(account[1].uses), str(account[1].unaccounted)

    for title, accounts in (("Pipelines", found.pipelines), ("People", found.people)):
        yield Section(title, (title, "Signatures"), ranked(accounts), signatures)
    yield Section("Callers of the service", ("Caller", "Uses", "Unaccounted"), ranked(found.callers), uses)
    head = ("Day", "Uses", "Signatures", "Unaccounted", "Missing", "Not covered")
    yield Section("Days", head, days_words(found), lambda day: day)


def _sources(found: Answer) -> Section:
    sources = [(f"ledger {facts.name}", ledger_words(facts)) for facts in found.ledgers.facts]
    sources += [(f"log {log.path}", log_words(log)) for log in found.logs]
    return Section("What was compared", ("Source", "Content"), sources, lambda source: source)
