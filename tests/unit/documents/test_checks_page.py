"""docs/reference/checks.md has every check that a verdict can hold, and the code makes each of them."""

from __future__ import annotations

import ast
import re

import pytest

from kspsign.model.checks import CHECKS
from kspsign.model.values import Finding
from support.places import ROOT
from support.sources import nodes_of

PAGE = (ROOT / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
ENGINE = ROOT / "python" / "kspsign"


def described(page: str) -> list[str]:
    """The names in the first column of every table of checks."""
    tables = page.split("| check | holds when | else |\n")[1:]
    rows = [line for table in tables for line in table.split("\n\n")[0].splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_check_is_described_once_and_no_other() -> None:
    names = described(PAGE)
    assert sorted(names) == sorted(CHECKS)


def test_every_check_is_made() -> None:
    texts = set()
    for path in ENGINE.rglob("*.py"):
        if path != ENGINE / "model" / "checks.py":
            constants = (node.value for node in nodes_of(path) if isinstance(node, ast.Constant))
            texts |= {value for value in constants if isinstance(value, str)}
    assert set(CHECKS) <= texts


def test_a_check_that_has_no_name_can_not_be_made() -> None:
    assert Finding("digest", "", number=2).name == "digest#2"
    with pytest.raises(ValueError, match="names no check 'digset'"):
        Finding("digset", "")  # type: ignore[arg-type]
