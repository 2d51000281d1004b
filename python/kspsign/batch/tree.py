"""A folder that patterns start from: the files below it, and how they are called."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from kspsign.batch.folder_content import FolderContents
from kspsign.batch.walk import Walk, WalkedPath, real_path


class PathNames(NamedTuple):
    """Of a path that was found: its name for people, the real path, and the name of the file that this leads to."""

    shown: str
    real: str
    own: str


class Tree:
    """What is below a folder, and how it is called: found out once for each folder, not for each file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.real_folder = folder, real_path(folder)
        self._contents = FolderContents()
        self._folders: dict[Path, PathNames] = {}

    def walk(self, *, every_name: bool = False) -> Walk:
        """A walk for one pattern."""
        return Walk(self.folder, self._contents, every_name)

    def names(self, found: WalkedPath) -> PathNames:
        """The names of what was found."""
        if found.linked:
            return self._names_of(found.path)
        begin = self._folders.get(found.folder)
        if begin is None:
            shown, real, own = self._names_of(found.folder)
            begin = PathNames(_as_prefix(shown), str(Path(real) / "_")[:-1], _as_prefix(own))
            self._folders[found.folder] = begin
        return PathNames(begin.shown + found.name, begin.real + found.name, begin.own + found.name)

    def _names_of(self, path: Path) -> PathNames:
        real = real_path(path)
        return PathNames(_shown(path, self.folder), str(real), _real_name(path, real, self.folder, self.real_folder))


def _as_prefix(folder: str) -> str:
    """The name of a folder as the names of its files begin."""
    return "" if folder == "." else folder if folder.endswith("/") else f"{folder}/"


def prefix_of(folder: Path) -> str:
    """How the identities of what is in a folder begin."""
    return identity_of(folder / "_")[:-1]


def _real_name(path: Path, real: Path, folder: Path, real_folder: Path) -> str:
    """The name of the file itself, where `path` may lead there by links."""
    with contextlib.suppress(ValueError):
        return real.relative_to(real_folder).as_posix()
    return _shown(path, folder) if identity_of(path.absolute()) == identity_of(real) else real.as_posix()


def _shown(path: Path, folder: Path) -> str:
    with contextlib.suppress(ValueError):
        return path.relative_to(folder).as_posix()
    whole = path.absolute()
    try:
        return whole.relative_to(folder.absolute()).as_posix()
    except ValueError:
        return whole.as_posix()


def identity_of(path: str | Path) -> str:
    """What two real paths of one file have in common."""
    return os.path.normcase(path)
