"""The tables of formats and of outputs in docs/reference have what there is, and nothing else."""

from __future__ import annotations

import re
import tomllib

from kspsign.model.load import load
from kspsign.model.values import Format
from kspsign.settings.faults import option_name
from kspsign.settings.model import OUTPUTS
from support.places import ROOT


def first_column(page: str, head: str) -> list[str]:
    """The names in the first column of the table whose first line begins with `head`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    rows = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_format_has_its_row() -> None:
    assert sorted(first_column("reference/formats.md", "| format | files |")) == sorted(Format)


def test_every_output_has_its_row_and_a_text() -> None:
    options = first_column("reference/report.md", "| option | content |")
    assert options == [option_name(field) for field in OUTPUTS]
    assert all(callable(load(text)) for text in OUTPUTS.values())


def test_the_action_is_named_at_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    page = (ROOT / "docs" / "how-to" / "github-actions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"kspsign@v([\d.]+)", page)) == {version}
