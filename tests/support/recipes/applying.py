"""The recipes of docs/contributing, and the examples that follow them in a copy of the checkout."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from support.places import ROOT

RECIPES = ROOT / "docs" / "contributing"
EXAMPLES = sorted(path.parent.name for path in Path(__file__).parent.glob("*/example.toml"))
HOLDING = (
    *("tests/unit/documents/test_reference_tables.py", "tests/unit/documents/test_key_stores_page.py"),
    *("tests/unit/task/test_task_json.py", "tests/unit/task/test_github_action.py"),
    "tests/integration/doctor/test_doctor_matrix.py::test_the_matrix_has_every_key_store_and_situation",
    *("tests/unit/authenticode/test_formats_table.py", "tests/unit/documents/test_settings_page.py"),
    "tests/unit/documents/test_checks_page.py",
)
"""The tests that hold tables, manifests and pages to the engine; last those that read all its sources."""

_LEFT_OUT = (
    ".git",
    ".venv",
    "node_modules",
    "build",
    "dist",
    "demo",
    "*.egg-info",
    ".*_cache",
    ".coverage*",
    "*.pyc.*",
)
_NOT_COPIED, _NOT_COMPARED = shutil.ignore_patterns(*_LEFT_OUT), shutil.ignore_patterns(*_LEFT_OUT, "__pycache__")
"""What is compiled already is copied too, so that the engine of a copy starts as fast."""


@dataclass(frozen=True)
class Change:
    """One insertion: `find` occurs once in the file, and `put` takes its place."""

    file: str
    find: str
    put: str


@dataclass(frozen=True)
class Example:
    """What somebody adds who follows a recipe. `new` are files and where their content is; `test` proves it; `tools`
    are run afterwards, and write files."""

    recipe: str
    name: str
    test: str
    new: dict[str, str]
    changes: tuple[Change, ...]
    tools: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: str) -> Example:
        """The example of that name."""
        content = tomllib.loads((Path(__file__).parent / folder / "example.toml").read_text(encoding="utf-8"))
        changes = tuple(Change(**change) for change in content.pop("changed"))
        return cls(changes=changes, **content)

    @property
    def listed(self) -> dict[str, str]:
        """The files that the recipe lists, each with "new" or "changed"."""
        page = (RECIPES / self.recipe).read_text(encoding="utf-8")
        table = page[page.index("## Files") :]
        rows = re.findall(r"^\| `([^`]+)` \| (new|changed) \| .+ \|$", table, re.MULTILINE)
        assert len(rows) == sum(line.startswith("|") for line in table.splitlines()) - 2, "a row that is none"
        return {file.replace("NAME", self.name): change for file, change in rows}

    def apply(self, copy: Path, *, without: Collection[str] = ()) -> None:
        """Make its changes in `copy`, except those to the files `without`."""
        for file, source in self.new.items():
            if file not in without:
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / source, copy / file)
        for change in self.changes:
            if change.file not in without:
                text = (copy / change.file).read_text(encoding="utf-8")
                assert text.count(change.find) == 1, f"{self.recipe}: {change.file} has no place for {change.put!r}"
                (copy / change.file).write_text(text.replace(change.find, change.put), encoding="utf-8", newline="\n")
        for tool in self.tools:
            subprocess.run([sys.executable, tool], cwd=copy, env=_environment(copy), check=True)
        for file in set(without) & set(_files(ROOT)):
            shutil.copyfile(ROOT / file, copy / file)


def copy_checkout(target: Path) -> Path:
    """A copy of the checkout's sources."""
    return Path(shutil.copytree(ROOT, target, ignore=_NOT_COPIED))


def undo(example: Example, copy: Path) -> None:
    """Make the files that the recipe lists what they are in the checkout."""
    for file, change in example.listed.items():
        if change == "new":
            (copy / file).unlink(missing_ok=True)
        else:
            shutil.copyfile(ROOT / file, copy / file)


def touched(copy: Path) -> dict[str, str]:
    """What differs in `copy` from the checkout: "new", "changed" or "removed" by file."""
    before, after = set(_files(ROOT)), set(_files(copy))
    same = {file for file in before & after if filecmp.cmp(ROOT / file, copy / file, shallow=False)}
    return {
        **dict.fromkeys(after - before, "new"),
        **dict.fromkeys((before & after) - same, "changed"),
        **dict.fromkeys(before - after, "removed"),
    }


def prove(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` in `copy`, with its engine, until the first that fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=copy, env=_environment(copy), capture_output=True, encoding="utf-8", timeout=180, check=False
    )


def _environment(copy: Path) -> dict[str, str]:
    """That of a program which uses the engine of `copy`."""
    return {**os.environ, "PYTHONPATH": str(copy / "python")}


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        out = _NOT_COMPARED(place, [*folders, *names])
        folders[:] = [name for name in folders if name not in out]
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in names if name not in out)
