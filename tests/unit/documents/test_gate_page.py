"""docs/reference/gate.md names what there is."""

from __future__ import annotations

import ast
import re

from kspsign.gate.settings import GATE_INTERNAL_FIELDS, GateSettings
from kspsign.publishing.evidence import ATTACHMENTS, DIGEST_PROPERTY
from kspsign.publishing.records import VERIFIED_TAG
from kspsign.settings.faults import option_name
from support.places import ROOT
from support.sources import nodes_of

PAGE = (ROOT / "docs" / "reference" / "gate.md").read_text(encoding="utf-8")


def rows(heading: str) -> set[str]:
    """The names in the first column of the first table behind a heading."""
    table = re.search(r"(?:^\|.*\n)+", PAGE[PAGE.index(heading) :], re.MULTILINE)
    assert table is not None
    return {name for line in table[0].splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_every_option_is_described() -> None:
    assert rows("# `kspsign gate`") == {
        option_name(name) for name in {"config", *GateSettings.model_fields} - GATE_INTERNAL_FIELDS
    }


def test_every_check_is_described() -> None:
    names = set()
    for path in (ROOT / "python" / "kspsign" / "gate").glob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check":
                first = node.args[0]
                assert isinstance(first, ast.Constant)
                names.add(first.value)
    assert rows("## Its checks") == names


def test_what_is_published_is_described() -> None:
    assert f"first {ATTACHMENTS} results" in PAGE
    assert all(f"`{name}`" in PAGE for name in (DIGEST_PROPERTY, VERIFIED_TAG))
