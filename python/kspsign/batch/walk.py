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
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from kspsign.batch.folder_content import FolderContent, FolderContents
from kspsign.model.errors import ConfigurationError
from kspsign.model.globs import has_wildcards, name_regex

MAX_NAMES = 8
"""Names by which one folder is looked at where every name counts: links between many folders give it countless ones."""
MAX_DEPTH = 400
"""Folders in folders that are followed."""
_SEPARATORS = re.compile(r"[\\/]" if os.name == "nt" else "/")
_ANY_FOLDERS = "**"
_LINKS_ARE_LISTED = os.name != "nt"
"""Whether reading a folder shows every link. On Windows it does not: there are reparse points of many kinds, and drives
whose server follows its own links."""


class WalkedPath(NamedTuple):
    """A path that a pattern matches: what is called `name` in `folder`; "" is the folder itself.

    `fault` says why it can't be looked at, "" when it is a file. `linked` is false where the name is surely none of a
    link.
    """

    folder: Path
    name: str = ""
    fault: str = ""
    linked: bool = True

    @property
    def path(self) -> Path:
        """The whole path."""
        return self.folder / self.name


@dataclass(slots=True, eq=False)
class Walk:
    """Finds what patterns name below `folder`.

    `every_name`: in any case on every system, by every link that leads there (at most MAX_NAMES of a folder), and a
    folder that can't be read is an error, not one of the faults. `ignored_case` says whether any name was matched only
    because case is ignored.
    """

    folder: Path
    contents: FolderContents
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
            yield WalkedPath(literal.parent, literal.name)
            if not self.every_name:
                return
        if is_folder(literal):
            yield from self._below(literal, (_ANY_FOLDERS,), ())
            if not self.every_name:
                return
        anchor = Path(pattern).anchor
        parts = [part for part in _SEPARATORS.split(pattern[len(anchor) :]) if part not in {"", "."}]
        once = [part for index, part in enumerate(parts) if part != _ANY_FOLDERS or parts[index - 1 : index] != [part]]
        start = self._shared_with(Path(anchor), once) if anchor else self.folder
        yield from self._below(start, tuple(once[len(start.parts) - 1 :] if anchor else once), ())

    def _shared_with(self, anchor: Path, parts: Sequence[str]) -> Path:
        """The folder to which both an absolute pattern and `folder` lead: no name above it is looked for, so that those
        folders need not be read."""
        own = self.folder.absolute()
        if Path(own.anchor) != anchor:
            return anchor
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(own.parts[1:], parts[:-1], strict=False))
        return anchor.joinpath(*(name for name, _ in shared))

    def _below(self, folder: Path, parts: Sequence[str], above: tuple[tuple[int, int], ...]) -> Iterator[WalkedPath]:
        if not parts:
            return
        head, rest = parts[0], parts[1:]
        if head == "..":
            yield from self._below(folder / head, rest, ())
        elif head == _ANY_FOLDERS:
            yield from self._any_depth(folder, rest, above)
        else:
            content = self._content(folder)
            if isinstance(content, WalkedPath):
                yield content
                return
            for name in self._matching(head, content.folders if rest else content.names):
                if content.special.get(name, "") is not None:
                    yield _file(folder, name, content)
                elif rest or not has_wildcards(head):
                    yield from self._below(folder / name, rest or (_ANY_FOLDERS,), ())

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
        content = self._content(folder)
        if isinstance(content, WalkedPath):
            if not rest:
                yield content
            return
        for name in content.folders if rest else content.names:
            if content.special.get(name, "") is None:
                yield from self._any_depth(folder / name, rest, (*above, identity))
            else:
                yield _file(folder, name, content)

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
        fault = f"a folder already visited under {MAX_NAMES} other names"
        return WalkedPath(folder, fault=fault) if self.every_name else None

    def _content(self, folder: Path) -> FolderContent | WalkedPath:
        """What is in the folder, nothing where it was removed meanwhile; the fault of one that can't be read."""
        try:
            return self.contents.of(folder)
        except (FileNotFoundError, NotADirectoryError):
            return FolderContent((), (), {})
        except OSError as unreadable:
            return self._unreadable(folder, unreadable)

    def _unreadable(self, folder: Path, unreadable: OSError) -> WalkedPath:
        if self.every_name:
            raise ConfigurationError(
                f"the folder can't be read: {unreadable.strerror}",
                remedy="Give this user read access: what can't be read can't be judged.",
                file=str(folder),
            ) from unreadable
        return WalkedPath(folder, fault=f"the folder can't be read: {unreadable.strerror}")

    def _matching(self, glob_part: str, names: Sequence[str]) -> Sequence[str]:
        """Those of `names` that one part of a pattern means."""
        if self.every_name:
            return self._matching_in_any_case(glob_part, names)
        if os.name == "nt":
            match = name_regex(os.path.normcase(glob_part)).match
            return [name for name in names if name == glob_part or match(os.path.normcase(name))]
        if glob_part.startswith("*") and not has_wildcards(tail := glob_part[1:]):
            return [name for name in names if name.endswith(tail)]  # most patterns, in a third of the time
        match = name_regex(glob_part).match
        return [name for name in names if name == glob_part or match(name)]

    def _matching_in_any_case(self, glob_part: str, names: Sequence[str]) -> Sequence[str]:
        match, wanted = name_regex(glob_part).match, glob_part.casefold()
        match_folded = name_regex(wanted).match
        found = []
        for name in names:
            if name == glob_part or match(name):
                found.append(name)
            elif (folded := name.casefold()) == wanted or match_folded(folded):
                found.append(name)
                self.ignored_case = True
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


def _file(folder: Path, name: str, content: FolderContent) -> WalkedPath:
    """The match of a name that is not a folder's."""
    fault = content.special.get(name)
    return WalkedPath(folder, name, fault or "", linked=fault is not None or not _LINKS_ARE_LISTED)


def real_path(path: Path) -> Path:
    """Without links. Some volumes and long paths of Windows give no final path: then the path as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return path.absolute()
