"""The answer as Markdown (GitHub's tables), words from outside without any meaning in it."""

from __future__ import annotations

from typing import Final

from kspsign.publishing.sanitize import clipped, markdown_text
from kspsign.reconciliation.answer import Answer
from kspsign.reconciliation.lines import LISTED
from kspsign.reconciliation.sections import Section, sections
from kspsign.reconciliation.words import coverage_words, matched_words, verdict

_CELL: Final = 300


def summary_text(found: Answer) -> str:
    """The answer in tables; of each kind the first LISTED rows."""
    said = verdict(found)
    lines = ["# Uses of the key", "", f"{markdown_text(said[:1].upper() + said[1:])}.", ""]
    lines += [f"Matched: {markdown_text(matched_words(found))}.", ""]
    for section in sections(found):
        lines += _table(section)
    lines += [f"Covered: {markdown_text('; '.join(coverage_words(found)) or 'no time')}."]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(section: Section) -> list[str]:
    head = section.head
    lines = [f"## {section.title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for cells in section.rows(LISTED):
        row = (markdown_text(clipped(cell, _CELL)) or "-" for cell in cells)
        lines.append(f"| {' | '.join(row)} |")
    lines.append("")
    if len(section.values) > LISTED:
        lines += [f"{len(section.values) - LISTED} more: in the report.", ""]
    return lines
