"""What a mistyped name was probably meant to be."""

from __future__ import annotations

import pytest

from kspsign.model.suggest import did_you_mean, suggest

KNOWN = ("release-2026", "Release", "nightly")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("release-2025", ("release-2026",)),
        ("RELEASE", ("Release",)),
        (" nightly ", ("nightly",)),
        ("smartcard", ()),
        ("", ()),
    ],
)
def test_the_nearest_known_name_is_suggested(wrong: str, near: tuple[str, ...]) -> None:
    assert suggest(wrong, KNOWN) == near


def test_no_more_are_suggested_than_asked_for() -> None:
    assert len(suggest("release-202", ("release-2024", "release-2025", "release-2026"), most=2)) == 2


def test_names_that_differ_in_case_only_are_all_suggested() -> None:
    assert did_you_mean("BUILD", ("Build", "build", "other"), most=3) == "Did you mean Build or build? "
    assert did_you_mean("xyz", ("Build",)) == ""
