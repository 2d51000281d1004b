"""Downloaded files beside the reports: path and content, not a set of contents."""

from __future__ import annotations

import time

import pytest

from kspsign.gate.downloads import files_check

REPORT = {"dist/x64/app.exe": "aa", "dist/arm64/app.exe": "bb", "dist/readme.cab": "cc", "dist/copy.cab": "cc"}


@pytest.mark.parametrize(
    "files",
    [
        {"dist/x64/app.exe": "aa", "dist/arm64/app.exe": "bb"},
        {"x64/app.exe": "aa", "arm64/app.exe": "bb", "readme.cab": "cc", "copy.cab": "cc"},
        {"drop/dist/x64/app.exe": "aa", "drop/dist/readme.cab": "cc"},
        {"drop/x64/app.exe": "aa", "drop/arm64/app.exe": "bb", "drop/copy.cab": "cc"},
        {"X64/App.exe": "aa"},
        {"x64\\app.exe": "aa"},
    ],
    ids=["same", "in front", "behind", "renamed folder", "case", "Windows"],
)
def test_files_that_are_what_was_proved(files: dict[str, str]) -> None:
    check = files_check(files, [REPORT])
    assert (check.ok, check.detail) == (True, f"{len(files)} as they were proved")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x64/app.exe": "bb", "arm64/app.exe": "bb"}, "x64/app.exe has the content of a file that was proved under"),
        ({"x64/app.exe": "bb", "arm64/app.exe": "aa"}, "x64/app.exe has the content"),
        ({"x64/app.exe": "bb"}, "x64/app.exe has the content"),
        ({"x64/app.exe": "cc"}, "x64/app.exe has the content"),
        ({"tool.exe": "aa"}, "tool.exe has the content"),
        ({"x64/app.exe": "aa", "other/arm64/app.exe": "bb"}, "has the content"),
        ({"x64/app.exe": "dd"}, "x64/app.exe has changed since it was proved"),
        ({"x64/more.exe": "dd"}, "x64/more.exe was proved by no build"),
        ({"": "aa"}, "has the content"),
    ],
    ids=["doubled", "swapped", "one swapped", "another kind", "renamed", "moved", "changed", "new", "no name"],
)
def test_files_that_are_not(files: dict[str, str], words: str) -> None:
    check = files_check(files, [REPORT])
    assert not check.ok
    assert words in check.detail


def test_each_report_has_folders_of_its_own() -> None:
    other = {"out/lib/b.dll": "ee"}
    files = {"first/x64/app.exe": "aa", "first/arm64/app.exe": "bb", "second/lib/b.dll": "ee"}
    assert files_check(files, [REPORT, other]).ok
    assert not files_check(files, [REPORT]).ok
    assert not files_check(files, []).ok


CASES = {"dist/App.exe": "aa", "dist/app.exe": "bb", "dist/straße/a.exe": "cc", "dist/strasse/a.exe": "dd"}


@pytest.mark.parametrize(
    ("files", "ok"),
    [
        ({"drop/App.exe": "aa", "drop/app.exe": "bb"}, True),
        ({"drop/App.exe": "bb", "drop/app.exe": "aa"}, False),
        ({"dist/App.exe": "bb"}, False),
        ({"dist/APP.exe": "bb"}, True),
        ({"straße/a.exe": "cc", "strasse/a.exe": "dd"}, True),
        ({"straße/a.exe": "dd", "strasse/a.exe": "cc"}, False),
    ],
    ids=["each its own", "swapped", "one swapped", "in neither case", "each folder its own", "folders swapped"],
)
def test_names_that_differ_in_case_alone_are_not_one(files: dict[str, str], ok: bool) -> None:
    assert files_check(files, [CASES]).ok is ok


def test_thousands_of_files_of_one_name_are_quick() -> None:
    report = {f"modules/{number}/package.json": str(number) for number in range(10_000)}
    files = {f"drop/{number}/package.json": str(number) for number in range(10_000)}
    started = time.process_time()
    assert files_check(files, [report]).ok
    files["drop/7/package.json"] = "8"
    assert files_check(files, [report]).detail.startswith("drop/7/package.json has the content of a file")
    assert time.process_time() - started < 5


def test_what_was_not_compared_is_named_up_to_ten() -> None:
    beside = [f"{number}.exe left out: not a regular file" for number in range(12)]
    detail = files_check({"x64/app.exe": "aa"}, [REPORT], beside).detail
    assert detail.startswith("1 as they were proved; 0.exe left out: not a regular file; 1.exe")
    assert detail.endswith("9.exe left out: not a regular file; 2 more")
