"""Files below a folder by pattern: wildcards in a name (`globs`), `**` for any number of folders.

Links to folders are followed. One that leads back to a folder on its own way ends there, so that loops of links, and of
junctions on Windows, come to an end.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kspsign.model.errors import ConfigurationError
from kspsign.model.globs import has_wildcards, name_regex

MAX_NAMES = 8
"""Names by which one folder is looked at where every name counts: links between many folders give it countless ones."""
MAX_DEPTH = 400
"""Folders in folders that are followed."""
_SEPARATORS = re.compile(r"[\\/]" if os.name == "nt" else "/")
_ANY_FOLDERS = "**"


class WalkedPath(NamedTuple):
    """A path that a pattern matches; `fault` says why it can't be looked at, "" when it is a file."""

    path: Path
    fault: str = ""


@dataclass(slots=True)
class Walk:
    """Finds what patterns name below `folder`.

    `every_name`: in any case on every system, by every link that leads there (at most MAX_NAMES of a folder), and a
    folder that can't be read is an error, not one of the faults. `ignored_case` says whether any name was matched only
    because case is ignored.
    """

    folder: Path
    every_name: bool = False
    ignored_case: bool = field(default=False, init=False)
    _visits: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def find(self, pattern: str) -> Iterator[WalkedPath]:
        """The matches of `pattern`. One that is itself the path of a file or folder is taken literally first; a folder
        means everything in it, at any depth.

        Raises ConfigurationError when a folder can't be read where every name counts.
        """
        self._visits.clear()
        literal = self.folder / pattern
        if is_file(literal):
            yield WalkedPath(literal)
            if not self.every_name:
                return
        if is_folder(literal):
            yield from self._below(literal, (_ANY_FOLDERS,), ())
            if not self.every_name:
                return
        anchor = Path(pattern).anchor
        parts = [part for part in _SEPARATORS.split(pattern[len(anchor) :]) if part not in {"", "."}]
        once = [part for index, part in enumerate(parts) if part != _ANY_FOLDERS or parts[index - 1 : index] != [part]]
        yield from self._below(Path(anchor) if anchor else self.folder, tuple(once), ())

    def _below(self, folder: Path, parts: Sequence[str], above: tuple[tuple[int, int], ...]) -> Iterator[WalkedPath]:
        if not parts:
            return
        head, rest = parts[0], parts[1:]
        if head == "..":
            yield from self._below(folder / head, rest, ())
        elif head == _ANY_FOLDERS:
            yield from self._any_depth(folder, rest, above)
        else:
            for entry in self._entries(folder):
                if isinstance(entry, WalkedPath):
                    yield entry
                elif self._matches(head, entry.name):
                    yield from self._entry(folder / entry.name, entry, head, rest)

    def _entry(self, path: Path, entry: os.DirEntry[str], head: str, rest: Sequence[str]) -> Iterator[WalkedPath]:
        if rest:
            if _is_dir(entry):
                yield from self._below(path, rest, ())
        elif _is_dir(entry):
            if not has_wildcards(head):
                yield from self._below(path, (_ANY_FOLDERS,), ())
        else:
            yield _file(path, entry)

    def _any_depth(self, folder: Path, rest: Sequence[str], above: tuple[tuple[int, int], ...]) -> Iterator[WalkedPath]:
        try:
            identity = self._entered(folder, len(rest), above)
        except OSError as unreadable:
            yield self._unreadable(folder, unreadable)
            return
        if isinstance(identity, WalkedPath):
            yield identity
        if identity is None or isinstance(identity, WalkedPath):
            return
        if rest:
            yield from self._below(folder, rest, ())
        for entry in self._entries(folder):
            if isinstance(entry, WalkedPath):
                if not rest:
                    yield entry
            elif _is_dir(entry):
                yield from self._any_depth(folder / entry.name, rest, (*above, identity))
            elif not rest:
                yield _file(folder / entry.name, entry)

    def _entered(
        self, folder: Path, rest: int, above: Sequence[tuple[int, int]]
    ) -> tuple[int, int] | WalkedPath | None:
        """The folder's identity; None when it was entered before: in `above`, or often enough with as much `rest` of
        the pattern. What is not looked at for its number of names is named where every name counts. Raises OSError."""
        try:
            state = folder.stat()
        except FileNotFoundError:  # removed meanwhile
            return None
        identity = state.st_dev, state.st_ino
        if identity in above:
            return None
        if len(above) >= MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, f"it is {MAX_DEPTH} folders deep")
        visits = self._visits[(*identity, rest)] = self._visits.get((*identity, rest), 0) + 1
        if visits <= (MAX_NAMES if self.every_name else 1):
            return identity
        return (
            WalkedPath(folder, f"a folder already visited under {MAX_NAMES} other names") if self.every_name else None
        )

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str] | WalkedPath]:
        try:
            with os.scandir(folder) as scan:
                yield from sorted(scan, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as unreadable:
            yield self._unreadable(folder, unreadable)

    def _unreadable(self, folder: Path, unreadable: OSError) -> WalkedPath:
        if self.every_name:
            raise ConfigurationError(
                f"the folder can't be read: {unreadable.strerror}",
                remedy="Give this user read access: what can't be read can't be judged.",
                file=str(folder),
            ) from unreadable
        return WalkedPath(folder, f"the folder can't be read: {unreadable.strerror}")

    def _matches(self, glob_part: str, name: str) -> bool:
        if glob_part == name:
            return True
        if not self.every_name:
            return name_regex(os.path.normcase(glob_part)).match(os.path.normcase(name)) is not None
        if name_regex(glob_part).match(name):
            return True
        folded, wanted = name.casefold(), glob_part.casefold()
        found = wanted == folded or name_regex(wanted).match(folded) is not None
        self.ignored_case |= found
        return found


def is_file(path: Path) -> bool:
    """Whether a file is there; no file has a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Likewise for a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Likewise for anything."""
    try:
        return path.exists()
    except OSError:
        return False


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(path: Path, entry: os.DirEntry[str]) -> WalkedPath:
    try:
        if entry.is_file():
            return WalkedPath(path)
    except OSError:
        return WalkedPath(path, "a link that leads nowhere")
    return WalkedPath(path, "a link that leads nowhere" if entry.is_symlink() else "not a regular file")


def real_path(path: Path) -> Path:
    """Without links. Some volumes and long paths of Windows give no final path: then the path as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return path.absolute()
