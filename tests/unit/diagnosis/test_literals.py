"""The words that are looked for before a pattern is: they may only spare searches that would find nothing."""

from __future__ import annotations

import re

import pytest

from kspsign.diagnosis.catalogue import catalogue
from kspsign.diagnosis.clean import cleaned, words_of
from kspsign.diagnosis.literals import required_literals


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("file not found", ("file not found",)),
        (r"\bnu3037\b", ("nu3037",)),
        (r"signtool(?:\.exe)?: not found", (": not found",)),
        (r"certificates? or keys missing", (" or keys missing",)),
        (r"a{2}bc{0,3}d", ("b",)),
        (r"\(403\) forbidden\.", ("(403) forbidden.",)),
        (r"""["']x[^|\]]{1,80}yes""", ("yes",)),
        ("timed out|was late", ("timed out", "was late")),
        ("(?:one|two)", ()),
        ("never|(?:one|two)", ()),
        (r"(?:a(?:b\)|c)[)]d)e(?!f)", ("e",)),
        ("a?b??c", ("c",)),
        ("[]x]ok[^]y]", ("ok",)),
    ],
)
def test_they_are_what_no_match_lacks(pattern: str, literals: tuple[str, ...]) -> None:
    assert required_literals(pattern) == literals


def test_no_search_loses_a_match_by_them() -> None:
    """Each pattern of the data over each example, and over all of them at once."""
    examples = [
        words_of(cleaned(text)).lower()
        for failure in catalogue().failures
        for text in (*failure.examples, failure.title, failure.known_cause)
    ]
    found = 0
    for search, failure in catalogue().searches:
        for text in (*examples, " | ".join(examples)):
            for match in re.finditer(search.pattern, text):
                assert not search.literals or any(literal in match[0] for literal in search.literals), failure.id
                found += 1
    assert found > 300


def test_nearly_every_pattern_has_some() -> None:
    without = [search.pattern for search, _ in catalogue().searches if not search.literals]
    assert len(without) < 5, without
