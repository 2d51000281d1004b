"""What a comparison takes for each record of a log, in calls that are the same on every machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.key_logs.scale import UNKNOWN, Scale, write_scale
from support.places import ROOT

CALLS_PER_RECORD, CALLS_PER_SIGNATURE = 50, 430
"""Of another operation's record, and of a signature with its use: a million records with 200,000 uses take 30 s with
them."""


def counted(scale: Scale, folder: Path) -> int:
    """The calls of a whole comparison with its JSON report."""
    counts, report = folder / "counts.json", folder / "report.json"
    program = (sys.executable, str(ROOT / "tests" / "support" / "counted_run.py"), str(counts), "reconcile")
    options = ("--ledger", str(scale.ledgers[0].parent), "--key-log", str(scale.log), "--report", str(report))
    done = subprocess.run([*program, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 8, done.stderr
    assert len(json.loads(report.read_text(encoding="ascii"))["unaccounted"]) == UNKNOWN
    return int(json.loads(counts.read_text(encoding="ascii"))["calls"])


@pytest.mark.no_cover  # coverage's own calls would be counted
def test_what_a_record_and_a_signature_take(tmp_path: Path) -> None:
    small = counted(write_scale(tmp_path / "small", 4, 10, 200), tmp_path)
    longer = counted(write_scale(tmp_path / "longer", 4, 10, 2200), tmp_path)
    more = counted(write_scale(tmp_path / "more", 44, 10, 2200), tmp_path)
    assert (longer - small) / 2000 < CALLS_PER_RECORD
    assert (more - longer) / 400 < CALLS_PER_SIGNATURE
