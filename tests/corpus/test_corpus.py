"""Real files that others made: verified, signed and damaged, each verdict beside osslsigncode's.

What is expected, and why the two differ, is in verdicts.toml; docs/reference/corpus.md is written from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from fetch_corpus import CORPUS, manifest, targets
from write_corpus_page import PAGE, Case, cases, page

from corpus.peer import peer_version
from corpus.survey import VERIFIED, Seen, damage, look, outcomes, run
from support.samples import Store

CASES = cases()
NAMES = frozenset(place.relative_to(CORPUS).as_posix() for entry in manifest() for place in targets(entry).values())
TURNS = 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the copies are signed."""
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def seen(store: Store, shared: Path) -> Mapping[str, Seen]:
    """The survey, made once."""
    assert peer_version() == "2.9", "verdicts.toml speaks of osslsigncode 2.9"
    missing = sorted(name for name in NAMES if not (CORPUS / name).is_file())
    assert not missing, f"run tools/fetch_corpus.py: {missing}"
    return look(NAMES, store, shared)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdicts_are_those_of_the_table(case: Case, seen: Mapping[str, Seen]) -> None:
    expected = dict(case.expected)
    assert {name: seen[name].outcomes for name in case.files} == dict.fromkeys(case.files, expected)


@pytest.mark.parametrize("turn", range(TURNS))
def test_no_signed_file_survives_a_changed_byte(
    turn: int, seen: Mapping[str, Seen], store: Store, shared: Path, tmp_path: Path
) -> None:
    signed = [name for name in NAMES if seen[name].sign == VERIFIED]
    offsets = {name: damage(name, shared / "signed", tmp_path / "damaged", turn) for name in signed}
    found = outcomes(run("verify", tmp_path / "damaged", tmp_path, "--trust-root", store.root))
    assert len(signed) >= 250
    assert {name: offsets[name] for name in signed if found[name] == VERIFIED} == {}


def test_the_corpus_is_large_and_of_many_kinds(seen: Mapping[str, Seen]) -> None:
    vendors = [name for name in NAMES if seen[name].verify == VERIFIED]
    assert len(NAMES) >= 150
    assert len(vendors) >= 100
    assert {Path(name).suffix for name in vendors} >= {".exe", ".dll", ".sys", ".pyd", ".msi", ".cat", ".ps1", ".psd1"}
    assert len({entry["name"] for entry in manifest()}) >= 25


def test_every_file_has_one_case_and_every_difference_a_reason() -> None:
    counted = Counter(name for case in CASES for name in case.files)
    assert counted == Counter(dict.fromkeys(NAMES, 1))
    assert [case.name for case in CASES if case.why is None and (case.differences or _refused(case))] == []


def test_the_page_is_written_from_the_table() -> None:
    assert page(manifest(), CASES) == PAGE.read_text(encoding="utf-8"), "tools/write_corpus_page.py writes it anew"


def _refused(case: Case) -> bool:
    return case.expected["sign"] != VERIFIED
