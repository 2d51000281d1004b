"""A number and its noun agree."""

from __future__ import annotations

import pytest

from kspsign.model.plurals import count


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 unreadable records"), (1, "1 unreadable record"), (2, "2 unreadable records")]
)
def test_one_is_singular(number: int, said: str) -> None:
    assert count(number, "unreadable record") == said
