"""The answer as the HTML page: the tables of the summary, longer, and the uses that match; the page filters them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from kspsign.publishing.page import page_around
from kspsign.publishing.sanitize import encodable
from kspsign.reconciliation.answer import Answer
from kspsign.reconciliation.sections import UNACCOUNTED, Section, matched_uses, sections
from kspsign.reconciliation.words import coverage_words, matched_words, verdict

MOST_ROWS: Final = 20_000
"""Rows of one table that the page holds, which says how many there are; the report has all."""


def page_pieces(found: Answer) -> Iterator[str]:
    """The page, in pieces. Raises PrerequisiteError where this installation has no page."""
    return page_around(_data(found))


def _data(found: Answer) -> Iterator[str]:
    facts: dict[str, str | list[str]] = {
        "result": found.result,
        "verdict": verdict(found),
        "matched": matched_words(found),
        "covered": coverage_words(found),
        "alarm": UNACCOUNTED,
    }
    yield f'{{"comparison":{json.dumps(_encodable(facts))[:-1]},"sections":['
    for number, section in enumerate([*sections(found), matched_uses(found)]):
        yield from _section(section, "," if number else "")
    yield "]}}"


def _section(section: Section, separator: str) -> Iterator[str]:
    facts = {"title": section.title, "head": section.head, "total": len(section.values)}
    yield f'{separator}{json.dumps(facts)[:-1]},"rows":['
    for number, row in enumerate(section.rows(MOST_ROWS)):
        yield ("," if number else "") + json.dumps([encodable(cell) for cell in row])
    yield "]}"


def _encodable(facts: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    return {
        name: encodable(value) if isinstance(value, str) else [encodable(item) for item in value]
        for name, value in facts.items()
    }
