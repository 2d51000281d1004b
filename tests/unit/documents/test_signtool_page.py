"""docs/reference/signtool.md is held to the program: providers, refusals, and what differs from the transcripts."""

from __future__ import annotations

import re

from kspsign.cli.signtool.grammar import OPTIONS
from kspsign.cli.signtool.key_providers import PROVIDERS
from support.places import ROOT
from support.signtool.differences import DIFFERENCES
from support.signtool.transcripts import transcripts

PAGE = (ROOT / "docs" / "reference" / "signtool.md").read_text(encoding="utf-8")
TEXT = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)]


def _spans(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_provider_and_its_key_store() -> None:
    listed = {
        name.strip("`"): store.strip("`")
        for name, store, _ in (row for row in ROWS if len(row) == 3)
        if name[1:] and store[1:-1] in PROVIDERS.values()
    }
    assert listed == PROVIDERS


def test_every_refused_option_with_its_reason() -> None:
    listed = {
        (command, option): reason
        for command, options, reason in (row for row in ROWS if len(row) == 3)
        if command in OPTIONS
        for option in _spans(options)
    }
    assert listed == {
        (command, f"/{name}"): option.refused
        for command, options in OPTIONS.items()
        for name, option in options.items()
        if option.refused
    }


def test_every_difference_from_a_transcript() -> None:
    listed = {
        call: reason
        for row in ROWS
        if len(row) == 2
        for call in _spans(row[0])
        for reason in row[1:]
        if call in DIFFERENCES
    }
    assert listed == {call: difference.reason for call, difference in DIFFERENCES.items()}
    assert f"{len(transcripts())} calls" in PAGE


def test_every_option_that_is_taken_is_named() -> None:
    spans = {word for span in _spans(TEXT) for word in span.split()}
    taken = {f"/{name}" for options in OPTIONS.values() for name, option in options.items() if not option.refused}
    assert taken - spans == set()
