"""Situations of public reports: each text is explained, and each other situation has a test or a row that tries it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from write_situations import MATRIX, PAGE, Explained, explained, page, tried

from kspsign.diagnosis import diagnose
from kspsign.diagnosis.catalogue import catalogue
from support.places import ROOT

EXPLAINED = [row for rows in explained().values() for row in rows]
TRIED = [row for rows in tried().values() for row in rows]
FEWEST = 250
SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+#[1-9][0-9]*")


@pytest.mark.parametrize("row", EXPLAINED, ids=lambda row: f"{row.source} {row.means[0]}")
def test_what_was_pasted_is_explained(row: Explained) -> None:
    first, *_ = diagnose(row.said)
    assert first.id in row.means
    assert first.exact


@pytest.mark.parametrize("group", explained())
def test_the_command_says_so(group: str) -> None:
    row = max(explained()[group], key=lambda entry: len(entry.said))
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "explain", "-"],
        input=row.said.encode(), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert any(f"[{name}]" in done.stdout.decode().splitlines()[0] for name in row.means)


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def rows_of_the_matrix() -> set[str]:
    """The names of the faults in the matrix's tables."""
    lines = (ROOT / "docs" / "fault-matrix.md").read_text(encoding="utf-8").splitlines()
    cells = (line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| "))
    return {re.sub(r"\\(.)", r"\1", cell) for cell in cells}


def test_every_test_and_row_that_is_named_is_there() -> None:
    matrix = rows_of_the_matrix()
    missing = []
    for row in TRIED:
        if row.test.startswith(MATRIX):
            there = row.test.removeprefix(MATRIX) in matrix
        else:
            file, name = row.test.split("::")
            path = ROOT / "tests" / file
            there = path.is_file() and (name in names_of_tests(path) or (name == "*" and bool(names_of_tests(path))))
        missing += [] if there else [row.test]
    assert not missing


def test_there_are_as_many_as_were_promised_each_once() -> None:
    assert len(EXPLAINED) + len(TRIED) >= FEWEST
    assert len({row.said for row in EXPLAINED}) > len(EXPLAINED) * 0.95
    assert len({row.what for row in TRIED}) == len(TRIED)
    assert all(SOURCE.fullmatch(row.source) for row in EXPLAINED)
    assert all(not row.source or SOURCE.fullmatch(row.source) for row in TRIED)
    assert {name for row in EXPLAINED for name in row.means} <= catalogue().position.keys()


def test_the_page_is_that_of_the_rows() -> None:
    """Written by tools/write_situations.py."""
    assert page() == PAGE.read_text(encoding="utf-8")
