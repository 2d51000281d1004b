"""`kspsign report`: a report in the terminal, as a page, and in the browser that the user has."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from kspsign.publishing.report_file import report_text
from kspsign.publishing.report_view import print_report
from support.samples import kspsign
from support.ui.browser import opened
from support.ui.reports import SERVERS, hostile_report, report_of


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The report of forty files, seven of which failed."""
    path = tmp_path / "report.json"
    path.write_text(report_text(report_of(40, 7)), encoding="utf-8")
    return path


def run_report(*arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`kspsign report` with these arguments."""
    command = [sys.executable, "-m", "kspsign", "report", *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": "200", **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=variables, check=False)


def test_it_shows_the_run_in_tables(report: Path) -> None:
    said = run_report(report)
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == "kspsign run: FAILED, 40 files: 33 signed, 7 failed; 33 verified"
    for expected in (
        "TRUST_E_BAD_DIGEST (0x80096010)",
        "Sign the file after its last change",
        "CERTIFICATE_ENDS",
        "DigiCert Code Signing CA",
        SERVERS[1],
        "33 of 1000",
    ):
        assert expected in said.stdout
    (folder,) = [line.split() for line in lines if line.strip().startswith("product/component0000 ")]
    assert folder == ["product/component0000", "40", "7", "7"]


def test_it_writes_the_page_that_the_run_would_have_written(report: Path, tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "out" / "signatures.html"
    said = run_report(report, "--html", page)
    assert (said.returncode, said.stdout.strip()) == (0, str(page))
    with opened(browser, page) as shown:
        assert shown.text(".counts") == "40 files: 33 signed, 7 failed; 33 verified"


@pytest.mark.skipif(os.name == "nt", reason="Windows starts what the registry says, and not BROWSER")
def test_open_starts_the_users_browser_with_the_page(report: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > "{started}"\n', encoding="utf-8")
    program.chmod(0o755)
    said = run_report(report, "--open", environment={"BROWSER": f"{program} %s", "TMPDIR": str(tmp_path)})
    assert said.returncode == 0
    page = Path(said.stdout.strip())
    assert page.parent.parent == tmp_path
    assert started.read_text(encoding="utf-8").strip() == page.as_uri()


def test_without_a_browser_the_page_is_there_and_named(report: Path, tmp_path: Path) -> None:
    said = run_report(report, "--html", tmp_path / "page.html", "--open", environment={"BROWSER": "/bin/false %s"})
    assert said.returncode == 5
    assert "no browser could be started" in said.stderr
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", '{"schema": "kspsign.report/9"}', json.dumps({"schema": "kspsign.verdict/1"})]
)
def test_what_is_not_a_report_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    run = kspsign("report", path, "--html", tmp_path / "page.html", folder=tmp_path / "run", reported=False)
    assert run.code == 3
    assert "not a report" in run.text
    assert str(path) in run.text
    assert not (tmp_path / "page.html").exists()


def test_a_report_that_is_not_there_or_not_json_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    gone = kspsign("report", path, folder=tmp_path / "run", reported=False)
    assert f"{path}: the report can't be read: No such file or directory\n" in gone.text
    path.write_text("<testsuites/>", encoding="utf-8")
    other = kspsign("report", path, folder=tmp_path / "run", reported=False)
    assert f"{path}: this is not a report: it is not JSON: expected value" in other.text
    assert (gone.code, other.code) == (3, 3)


def test_the_page_may_not_take_the_reports_place(report: Path, tmp_path: Path) -> None:
    before = report.read_bytes()
    assert kspsign("report", report, "--html", report, folder=tmp_path / "run", reported=False).code == 3
    assert report.read_bytes() == before


def test_what_a_hostile_report_says_has_no_meaning_to_a_terminal() -> None:
    out = io.StringIO()
    print_report(hostile_report(10_000), out, 160)
    assert not {"\x1b", "\u202e", "\u200b", "\r"} & set(out.getvalue())
    assert max(map(len, out.getvalue().splitlines())) <= 160
