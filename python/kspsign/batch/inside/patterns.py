"""The patterns of --inside: they select files in containers by container name, a slash and entry name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kspsign.model.errors import ConfigurationError
from kspsign.model.globs import expand_braces, has_wildcards, may_end_in, name_regex, parts_match, pattern_fault

EVERYTHING: Final = "**"


class _InsidePattern(NamedTuple):
    """`alternatives` are the names of folders and file, in lower case, of each pattern that its braces expand to."""

    shown: str
    bare: str
    alternatives: tuple[tuple[str, ...], ...]
    excludes: bool

    def names(self, path: Sequence[str]) -> bool:
        """Whether it means the file of this name."""
        return any(parts_match(parts, path) for parts in self.alternatives)

    def reaches(self, folder: Sequence[str]) -> bool:
        """Whether it may mean something below `folder`."""
        return any(_reaches(parts, folder) for parts in self.alternatives)


class InsidePatterns:
    """The patterns in their order: a later one counts more. Where the first one excludes, everything else is selected.
    Case is ignored: most readers of packages do."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises ConfigurationError for a pattern that would mean something else, or nothing."""
        self._patterns = tuple(map(_parsed, texts))
        self._used: set[str] = set()

    def takes(self, name: str, *, named_suffix: str | None = None) -> bool:
        """Whether the file of this name is selected; with `named_suffix` only by a pattern that says that extension."""
        path = name.casefold().split("/")
        taken = named_suffix is None and self._begins_with_everything
        for pattern in self._patterns:
            if not pattern.names(path):
                continue
            if pattern.excludes or named_suffix is None or may_end_in(pattern.bare, named_suffix):
                self._used.add(pattern.shown)
                taken = not pattern.excludes
        return taken

    def reaches_into(self, name: str) -> bool:
        """Whether something in the container of this name may be selected."""
        folder = name.casefold().split("/")
        reached = self._begins_with_everything
        for pattern in self._patterns:
            if not pattern.excludes:
                reached = reached or pattern.reaches(folder)
            elif pattern.names(folder) or pattern.names([*folder, "\0"]):
                self._used.add(pattern.shown)
                reached = False
        return reached

    @property
    def _begins_with_everything(self) -> bool:
        return bool(self._patterns) and self._patterns[0].excludes

    @property
    def idle(self) -> tuple[str, ...]:
        """The patterns that nothing matched."""
        return tuple(pattern.shown for pattern in self._patterns if pattern.shown not in self._used)

    @property
    def missing(self) -> tuple[str, ...]:
        """Of these the names of single files, which must be there."""
        names = {
            pattern.shown for pattern in self._patterns if not pattern.excludes and not has_wildcards(pattern.bare)
        }
        return tuple(shown for shown in self.idle if shown in names)


def _parsed(text: str) -> _InsidePattern:
    bare = text.lstrip("!").replace("\\", "/")
    expanded: tuple[str, ...] = ()
    fault = ("names nothing", "Take it out.") if not bare else pattern_fault(bare)
    if text.startswith("!("):
        fault = "begins with !(, and ! excludes", f"Write ./{text} for files that the group does not name."
    try:
        expanded = expand_braces(bare.casefold().removeprefix("./"))
    except ValueError as many:
        fault = (str(many), "Write fewer, or a wildcard.")
    if fault is not None:
        raise ConfigurationError(f"the pattern {text} of --inside {fault[0]}", code="PATTERN", remedy=fault[1])
    excludes = (len(text) - len(text.lstrip("!"))) % 2 == 1
    return _InsidePattern(text, bare, tuple(tuple(path.split("/")) for path in expanded), excludes)


def _reaches(parts: Sequence[str], folder: Sequence[str]) -> bool:
    if not folder:
        return bool(parts)
    if not parts or parts[0] == "**":
        return bool(parts)
    return name_regex(parts[0]).match(folder[0]) is not None and _reaches(parts[1:], folder[1:])
