"""The patterns of a run as they were given, and those of list files (`@FILE`)."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kspsign.model.errors import ConfigurationError

MAX_LIST = 16 << 20
"""Bytes of a list file."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, and how it is shown: what a list file holds is not, since it may be no list at all."""

    text: str
    shown: str

    @property
    def excluded(self) -> str:
        """What is excluded, "" when nothing is."""
        return self.text[1:] if self.text.startswith("!") else ""


def expand_lists(patterns: Iterable[str], folder: Path) -> Iterator[Pattern]:
    """Every pattern, those of list files too. Raises ConfigurationError for a file that is not a list."""
    for pattern in (line.strip() for text in patterns for line in text.splitlines()):
        if pattern.startswith("@"):
            yield from _listed(pattern[1:], folder)
        elif pattern:
            yield Pattern(pattern, pattern)


def _listed(name: str, folder: Path) -> Iterator[Pattern]:
    """The patterns of a list file, shown by their lines only: a file that is not a list may hold secrets."""
    listing = folder / name
    try:
        state = listing.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_LIST:
            raise _no_list(listing, f"it is not a regular file of at most {MAX_LIST >> 20} MB")
        text = listing.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as unreadable:
        cause = "it is not UTF-8 text" if isinstance(unreadable, UnicodeDecodeError) else _system_words(unreadable)
        raise _no_list(listing, cause) from None  # the cause of a decoding error holds the file's content
    for number, line in enumerate(text.split("\n"), start=1):
        pattern = line.strip()
        if "\0" in pattern:
            raise _no_list(listing, f"line {number} holds a character that is in no name")
        if pattern and not pattern.startswith("#"):
            yield Pattern(pattern, f"(line {number} of {name})")


def _system_words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _no_list(listing: Path, cause: str) -> ConfigurationError:
    return ConfigurationError(
        f"the list can't be read: {cause}", remedy="@FILE names a UTF-8 text file of patterns.", file=str(listing)
    )
