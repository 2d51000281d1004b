"""The patterns of a run as they were given, and those of list files (`@FILE`)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kspsign.batch.walk import exists
from kspsign.model.errors import ConfigurationError
from kspsign.model.globs import expand_braces, pattern_fault
from kspsign.model.text import decode_text
from kspsign.settings.unmapped import in_text

STANDARD_INPUT = "-"
"""`@-` reads the list from standard input."""

MAX_LIST = 16 << 20
"""Bytes of a list file."""


class Pattern(NamedTuple):
    """A pattern, and how it is shown: what a list file holds is not, since it may not be a list at all.

    `alternatives` are the patterns that its braces expand to, with `/` between folders.
    """

    shown: str
    alternatives: tuple[str, ...]
    excludes: bool = False

    @classmethod
    def parse(cls, text: str, folder: Path, shown: str | None = None) -> Pattern:
        """`text` as Azure Pipelines takes it: each `!` at its beginning turns it round.

        Raises ConfigurationError for what would mean something else, or nothing.
        """
        name = text if shown is None else shown
        bare = text.lstrip("!")
        negations = len(text) - len(bare)
        if not bare:
            raise _wrong(name, "names nothing", "Take it out.")
        if negations and bare.startswith("("):
            raise _wrong(
                name, "begins with !(, and ! excludes", f"Write ./{text} for files that the group does not name."
            )
        slashed = bare if os.name == "nt" else bare.replace("\\", "/")
        literal = (bare,) if exists(folder / bare) else ()  # a name that looks like a pattern
        fault = None if literal else pattern_fault(slashed)
        if fault is not None:
            raise _wrong(name, *fault)
        try:
            return cls(name, tuple(dict.fromkeys((*literal, *expand_braces(slashed)))), negations % 2 == 1)
        except ValueError as many:
            raise _wrong(name, str(many), "Write fewer, or a wildcard.") from None


def expand_lists(patterns: Iterable[str], folder: Path) -> Iterator[Pattern]:
    """Every pattern, those of list files too; a line that begins with # is a comment.

    Raises ConfigurationError for a file that is not a list, and for what `Pattern.parse` refuses.
    """
    for pattern in (line.strip() for text in patterns for line in text.splitlines()):
        if pattern.startswith("@") and not pattern.startswith("@("):
            yield from _listed(pattern[1:], folder)
        elif pattern and not pattern.startswith("#"):
            yield Pattern.parse(pattern, folder)


def _listed(name: str, folder: Path) -> Iterator[Pattern]:
    """The patterns of a list file, shown by their lines only: a file that is not a list may hold secrets."""
    listing = folder / name if name != STANDARD_INPUT else Path("standard input")
    try:
        text = decode_text(_piped() if name == STANDARD_INPUT else _content(listing))
    except (OSError, ValueError) as unreadable:
        known = isinstance(unreadable, UnicodeDecodeError)
        cause = "it is not text in UTF-8, or UTF-16 with byte order mark" if known else _system_words(unreadable)
        raise _no_list(listing, cause) from None  # the cause of a decoding error holds the file's content
    for number, line in enumerate(text.split("\n"), start=1):
        pattern = line.strip()
        if "\0" in pattern:
            raise _no_list(listing, f"line {number} holds a character that is in no name")
        if pattern and not pattern.startswith("#"):
            shown = f"(line {number} of {name})"
            if in_text(shown, pattern):
                raise _wrong(shown, "holds a variable $(...), which nothing replaces in a file", "Write its value.")
            yield Pattern.parse(pattern, folder, shown)


def _content(listing: Path) -> bytes:
    """The content of a list file. Raises ConfigurationError for anything but a regular file."""
    state = listing.stat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_LIST:
        raise _no_list(listing, f"it is not a regular file of at most {MAX_LIST >> 20} MB")
    return listing.read_bytes()


def _piped() -> bytes:
    """The list that another program writes to standard input. Raises ConfigurationError when nothing is piped in."""
    if sys.stdin is None or sys.stdin.isatty():
        raise _no_list(Path("standard input"), "nothing is piped in, as by: git ls-files '*.ps1' | kspsign sign @-")
    content = bytearray()
    # Not through sys.stdin: a cancelled run does not wait for this, and a lock held then would abort it at its end.
    while len(content) <= MAX_LIST and (piece := os.read(sys.stdin.fileno(), 1 << 16)):
        content += piece
    if len(content) > MAX_LIST:
        raise _no_list(Path("standard input"), f"it is longer than {MAX_LIST >> 20} MB")
    return bytes(content)


def _system_words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _no_list(listing: Path, cause: str) -> ConfigurationError:
    return ConfigurationError(
        f"the list can't be read: {cause}",
        remedy="@FILE names a text file of patterns, in UTF-8 or as PowerShell writes it.",
        file=str(listing),
    )


def _wrong(shown: str, fault: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"the pattern {shown} {fault}", code="PATTERN", remedy=remedy)
