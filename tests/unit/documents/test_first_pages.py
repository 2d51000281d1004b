"""The pages of docs/getting-started: each is in README's list, and each code that they name is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kspsign.diagnosis.catalogue import catalogue
from kspsign.keys.table import STORES
from kspsign.model.hresults import Hresult
from support.places import ROOT

PAGES = sorted((ROOT / "docs" / "getting-started").glob("*.md"))
ROWS = re.compile(r"^\| ((?:`[A-Z][A-Z0-9_]+`(?:, )?)+) \|", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_in_the_list(page: Path) -> None:
    assert f"](docs/getting-started/{page.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_is_explained(page: Path) -> None:
    named = re.findall(r"`(\w+)`", " ".join(ROWS.findall(page.read_text(encoding="utf-8"))))
    assert not set(named) - set(catalogue().by_name) - {code.name for code in Hresult} - {"NTE_BAD_KEYSET"}
    assert named or page.stem in {"install", "try-it"}, "say what to check first when a run is red"


def test_every_key_store_has_a_first_pipeline() -> None:
    """On a page of docs/getting-started, or on the page of docs/how-to that is its own."""
    shown = {
        store
        for page in [*PAGES, *(ROOT / "docs" / "how-to").glob("*.md")]
        for store in re.findall(r"^ +keyStore: ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert shown >= set(STORES.entries)
