"""What folders hold, read once for all patterns of a selection."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MOST_NAMES = 4_000_000
"""Names that are remembered of folders that were read; beyond, a folder is read again for each pattern."""


class FolderContent(NamedTuple):
    """The names in a folder in their order, and those of folders among them. `special` has what is not a regular file:
    None for a folder, else its fault, "" for a link to a file."""

    names: Sequence[str]
    folders: Sequence[str]
    special: Mapping[str, str | None]


class FolderContents:
    """Folders are read once for all patterns of a selection, as long as there is room for their names."""

    def __init__(self) -> None:
        self._known: dict[Path, FolderContent] = {}
        self._names = 0

    def of(self, folder: Path) -> FolderContent:
        """What is in `folder`. Raises OSError."""
        known = self._known.get(folder)
        if known is None:
            known = _read(folder)
            self._names += len(known.names)
            if self._names <= MOST_NAMES:
                self._known[folder] = known
        return known


def _read(folder: Path) -> FolderContent:
    names: list[str] = []
    special: dict[str, str | None] = {}
    with os.scandir(folder) as scan:
        for entry in scan:
            names.append(entry.name)
            if not _is_plain(entry):
                special[entry.name] = None if _is_dir(entry) else _fault(entry)
    names.sort()
    folders = [name for name in names if name in special and special[name] is None] if special else []
    return FolderContent(names, folders, special)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file, and no link."""
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _fault(entry: os.DirEntry[str]) -> str:
    """What is wrong with a name that is neither a regular file's nor a folder's; "" for a link to a file."""
    try:
        if entry.is_file():
            return ""
    except OSError:
        return "a link that leads nowhere"
    return "a link that leads nowhere" if entry.is_symlink() else "not a regular file"
