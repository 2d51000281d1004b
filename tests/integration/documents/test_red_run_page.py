"""docs/how-to/read-a-red-run.md describes a real red run: the same run prints what the page quotes."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.pictured_runs import PROGRAMS, PicturedRun, run
from support.places import ROOT

FAILURES = 40
PAGE = (ROOT / "docs" / "how-to" / "read-a-red-run.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def red() -> PicturedRun:
    spec = find_spec("pip._vendor.distlib")
    assert spec is not None
    assert spec.origin is not None
    return run(Path(spec.origin).parent, FAILURES, terminal=False)


def test_each_cause_is_one_error_below_the_group(red: PicturedRun) -> None:
    after = red.log[red.log.index("##[endgroup]") :]
    errors = [line for line in after if line.startswith("##vso[task.logissue type=error")]
    counts = [re.findall(r"\](\d+) files: ", error) for error in errors]
    assert counts == [["24"], ["8"], ["4"], ["4"]]
    assert "Four errors, for 24, 8, 4 and 4 files" in PAGE
    for part in ("24 files:", "ERROR_BAD_FORMAT (0x8007000B)", "the section table is cut off: the file is truncated"):
        assert part in errors[0]
        assert f"`{part}`" in PAGE
    assert " Remedy: Rebuild or download the file again" in errors[0]
    assert errors[0].index("Remedy: ") < errors[0].index("Files: plugins/Contoso.Plugin000.dll")
    assert " and 21 more (all in the report). More: https://" in errors[0]
    assert [line for line in after if line.startswith("##[error]")] == [
        f"##[error]kspsign run: FAILED, {FAILURES + len(PROGRAMS)} files: 4 signed, {FAILURES} failed; 4 verified"
    ]


def test_the_summary_begins_with_what_failed(red: PicturedRun) -> None:
    headings = [line for line in red.summary.splitlines() if line.startswith("#")]
    assert headings == ["# Signature verification: failed", "## Failed", "## About this run", "## Files"]


def test_each_file_is_a_test_case_with_cause_and_remedy(red: PicturedRun) -> None:
    cases = list(ET.fromstring(red.junit).iter("testcase"))  # noqa: S314 - our own run wrote it
    failed = [case for case in cases if len(case)]
    assert (len(cases), len(failed)) == (FAILURES + len(PROGRAMS), FAILURES)
    assert all("remedy: " in (case[0].text or "") and case[0].get("message") for case in failed)


def test_every_exit_code_has_its_next_step() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    readme = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == {int(code) for code in readme} - {0}
