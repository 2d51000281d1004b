"""What starting, one file and a thousand files may take, in calls of functions and modules: the same numbers on a busy
machine as on an idle one. A budget that is exceeded was spent on something: find it with `python -X importtime` or
cProfile, and raise the budget only for what is worth it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from support import counted_run
from support.formats.peimages import build_pe
from support.samples import Store

MANY: Final = 1000
CALLS_PER_FILE: Final = 4_200
"""Of a small file that is signed with a local key, verified and replaced: 3,950, and up to 4,100 where threads wait for
each other since the machine is busy."""


class Counts(NamedTuple):
    """What a run took, or may take."""

    calls: int
    modules: int

    def within(self, budget: Counts) -> bool:
        """Whether none of both is exceeded."""
        return self.calls <= budget.calls and self.modules <= budget.modules


VERSION: Final = Counts(calls=9_000, modules=95)
SIGN_ONE: Final = Counts(calls=318_000, modules=485)
VERIFY_ONE: Final = Counts(calls=295_000, modules=448)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for files and reports."""
    return tmp_path


def images(folder: Path, number: int) -> Path:
    """So many unsigned images, all different."""
    files, image = folder / str(number), build_pe()
    files.mkdir(exist_ok=True)
    for index in range(number):
        (files / f"{index}.dll").write_bytes(image + index.to_bytes(8, "little"))
    return files


def counted(folder: Path, *arguments: object) -> Counts:
    """Run kspsign with these arguments."""
    counts = folder / "counts.json"
    command = [sys.executable, counted_run.__file__, str(counts), *map(str, arguments)]
    # Counting lines, where the tests are counted, takes calls of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    # `isinstance` asks for a protocol's members in the order of a set: a hundred calls per file more, or less.
    environment["PYTHONHASHSEED"] = "0"
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    return Counts(**json.loads(counts.read_text(encoding="ascii")))


def signing(folder: Path, store: Store, number: int, *more: object) -> Counts:
    """Sign so many images with a local key; a report of an earlier run lies there, as in every build but the first."""
    (folder / "report.json").write_text("{}", encoding="ascii")
    key = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return counted(folder, "sign", images(folder, number), *key, "--report", "report.json", "--quiet", *more)


def test_the_version_costs_next_to_nothing(folder: Path) -> None:
    assert counted(folder, "--version").within(VERSION)


def test_one_file_is_signed_and_verified_within_the_budget(folder: Path, store: Store) -> None:
    taken = signing(folder, store, 1, "--no-timestamp")
    assert taken.within(SIGN_ONE), taken
    stamped = signing(folder, store, 1)  # which loads HTTP
    assert not stamped.within(SIGN_ONE), "a budget that holds whatever is loaded is none"
    taken = counted(folder, "verify", folder / "1", "--trust-root", store.root, "--report", "report.json", "--quiet")
    assert taken.within(VERIFY_ONE), taken


def test_a_thousand_files_take_a_thousand_times_what_one_takes(folder: Path, store: Store) -> None:
    one, some, many = (signing(folder, store, number, "--no-timestamp") for number in (1, MANY // 10, MANY))
    first = (some.calls - one.calls) / (MANY // 10 - 1)
    last = (many.calls - some.calls) / (MANY - MANY // 10)
    assert last <= CALLS_PER_FILE
    assert last <= 1.05 * first, "the time must grow with the number of files and no faster"
    assert many.modules == one.modules
