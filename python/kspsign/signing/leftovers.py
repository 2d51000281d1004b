"""Removes signed copies that a killed run left next to its targets, when the next run works in their folder."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from kspsign.concurrency.file_lock import try_lock
from kspsign.model.values import COPY_PREFIX

UNLOCKABLE_SECONDS = 24 * 3600
"""Without file locks, a copy that was not written to for this long counts as abandoned."""


def remove_leftovers(folders: Iterable[Path]) -> int:
    """Remove the copies in `folders` whose run is gone; returns how many. One that is locked belongs to a run."""
    return sum(_removed(Path(entry.path)) for folder in folders for entry in _copies(folder))


def is_in_use(path: Path) -> bool:
    """Whether a run that goes on is writing this copy."""
    try:
        with path.open("r+b") as file:
            return try_lock(file) is False
    except OSError:
        return False


def _copies(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in entries
                if entry.name.startswith(COPY_PREFIX) and entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []  # whoever signs there meets the same refusal and says so


def _removed(path: Path) -> bool:
    with contextlib.suppress(OSError):
        with path.open("r+b") as file:
            locked = try_lock(file)
            age = time.time() - os.fstat(file.fileno()).st_mtime
            left = locked is True or (locked is None and age > UNLOCKABLE_SECONDS)
            if left and os.name == "posix":
                path.unlink()  # while it is locked, so that its owner, if it was just born, sees it
        if left and os.name != "posix":
            path.unlink()  # only files that are not open can be removed there
        return left
    return False
