"""Each recipe of docs/contributing is followed in a copy of the checkout: what it lists is what is touched, no file
more and none less, and the engine does then what the example adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.recipes.applying import EXAMPLES, HOLDING, RECIPES, Example, copy_checkout, prove, touched, undo


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout; each test leaves the files of its recipe as they were there."""
    return copy_checkout(tmp_path_factory.mktemp("recipes") / "copy")


def test_every_recipe_has_an_example() -> None:
    assert sorted(Example.load(example).recipe for example in EXAMPLES) == sorted(
        path.name for path in RECIPES.glob("*.md")
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_recipe_lists_the_files_that_its_example_touches(name: str, copy: Path) -> None:
    example = Example.load(name)
    assert touched(copy) == {}
    example.apply(copy)
    try:
        assert touched(copy) == example.listed
        done = prove(copy, example.test, *HOLDING)
        assert done.returncode == 0, done.stdout
    finally:
        undo(example, copy)


NEEDED = [
    (name, file)
    for name in EXAMPLES
    for file, change in Example.load(name).listed.items()
    if change == "changed" and file != "CHANGELOG.md"
]


@pytest.mark.parametrize(("name", "file"), NEEDED, ids=str)
def test_every_change_of_a_recipe_is_needed(name: str, file: str, copy: Path) -> None:
    example = Example.load(name)
    assert touched(copy) == {}
    example.apply(copy, without={file})
    try:
        assert prove(copy, example.test, *HOLDING).returncode in {1, 2}, "a test fails, or can't be collected"
    finally:
        undo(example, copy)
