"""Every path of NIST's PKITS, with the result that the suite expects or a reason for the difference."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from support.pkits import SECTIONS, PkitsTest, pkits_tests, verdict

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "pkits.md"
TESTS = tuple(pkits_tests())
REFUSED_THOUGH_VALID: dict[str, tuple[str, ...]] = {
    "DSA": ("4.1.4", "4.1.5"),
    "names are compared": ("4.3.3", "4.3.4", "4.3.5", "4.3.10", "4.3.11"),
    "key that issued": ("4.4.19", "4.5.1", "4.5.4", "4.5.6"),
    "mail addresses": ("4.13.21", "4.13.23", "4.13.25", "4.13.27", "4.13.30", "4.13.32", "4.13.34", "4.13.36"),
    "relative to the issuer": ("4.14.4",),
    "some reasons": ("4.14.5", "4.14.7", "4.14.18", "4.14.19"),
    "indirect": ("4.14.22", "4.14.24", "4.14.25", "4.14.28", "4.14.29", "4.14.30", "4.14.33"),
}
"""Tests by words of the reason that the page gives. There is no such table for what is accepted though invalid."""
STRICTER = frozenset(number for numbers in REFUSED_THOUGH_VALID.values() for number in numbers)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.number}-{test.name}")
def test_the_judge_comes_to_the_expected_result(test: PkitsTest) -> None:
    said = verdict(test)
    assert (said is None) is (test.valid and test.number not in STRICTER), said


def test_all_paths_of_the_suite_are_there() -> None:
    assert len(TESTS) == 224
    assert Counter(test.valid for test in TESTS) == {True: 103, False: 121}
    assert {test.number for test in TESTS} > STRICTER


def test_the_page_says_what_this_test_found() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"in {224 - len(STRICTER)} of them" in text
    assert f"in the other {len(STRICTER)} it refuses" in text
    for section, (title, _) in SECTIONS.items():
        numbers = [test.number for test in TESTS if test.section == section]
        differ = len(STRICTER.intersection(numbers))
        row = f"| {section} | {title} | {len(numbers)} | {len(numbers) - differ} | {differ or '-'} |"
        assert row in text, row
    rows = dict(re.findall(r"^\| ((?:4\.\d+\.\d+(?:, )?)+) \| (.+) \|$", text, re.MULTILINE))
    assert len(rows) == len(REFUSED_THOUGH_VALID)
    for words, tests in REFUSED_THOUGH_VALID.items():
        assert words in rows[", ".join(tests)]
