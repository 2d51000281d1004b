"""The page's words for what became of a file: every outcome that a report may have."""

from __future__ import annotations

import re
from typing import get_args, get_type_hints

from kspsign.model import run_facts
from kspsign.model.report import FileOutcome
from support.places import ROOT

RENAMED = {"checked": "verified", "planned": "to sign"}


def test_every_outcome_of_a_report_has_its_word_in_the_page() -> None:
    source = (ROOT / "task" / "ui" / "src" / "report" / "outcome.ts").read_text(encoding="utf-8")
    listed = re.search(r"OUTCOMES = \[(.*?)\]", source, re.DOTALL)
    assert listed is not None
    words = set(re.findall(r'"([^"]+)"', listed[1]))
    hints = get_type_hints(FileOutcome, localns=vars(run_facts))
    outcomes = {RENAMED.get(outcome, outcome) for outcome in get_args(hints["outcome"])}
    assert words == outcomes | {"not verified", "not tried"}
