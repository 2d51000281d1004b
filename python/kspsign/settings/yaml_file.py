"""A YAML file that decides something (configuration, policy): read whole, with the line of every key."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kspsign.model.errors import ConfigurationError

MAX_SIZE = 1 << 18
"""Bytes; a larger file was named by mistake."""
MAX_DEPTH = 50
"""Mappings and lists in each other; the parser takes quadratic time, and then its stack, for more."""
MAX_EVENTS = 16384
"""Of the parser: each key and each value is one, of which it makes five thousand a second."""
_MERGE = "tag:yaml.org,2002:merge"
Location = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A mapping, the line (from 1) of each of its keys and items by where it is, and the sha256 of the file's text."""

    value: dict[Any, Any]
    lines: Mapping[tuple[int | str, ...], int]
    sha256: str

    def line_of(self, location: Location) -> int:
        """The line of the innermost part of `location` that is in the file."""
        places = (tuple(location[:length]) for length in range(len(location), -1, -1))
        return next((self.lines[place] for place in places if place in self.lines), 1)


def read_yaml(path: Path, fault: Callable[[str], ConfigurationError], *, may_be_empty: bool = False) -> YamlFile:
    """The mapping in the file at `path`; an empty file is one where it `may_be_empty`. The digest is over line ends as
    LF, as any checkout has it.

    Aliases, merge keys and repeated keys are refused: what a key says is in one place. Raises what `fault` makes of
    a message, and FileNotFoundError.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise fault("it is not a regular file")
        if state.st_size > MAX_SIZE:
            raise fault(f"it is larger than {MAX_SIZE} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as unreadable:
        raise fault(f"it can't be read as UTF-8 text: {unreadable}") from unreadable
    value, lines = _parsed(text, fault)
    if value is None and may_be_empty:
        value = {}
    if not isinstance(value, dict):
        raise fault("line 1: must be a mapping: `key: value` lines")
    return YamlFile(value, lines, hashlib.sha256(text.encode("utf-8")).hexdigest())


def _parsed(
    text: str, fault: Callable[[str], ConfigurationError]
) -> tuple[object, Mapping[tuple[int | str, ...], int]]:
    try:
        _check_shape(text, fault)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines((), root)) if root is not None else {}
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as broken:
        line = f"line {broken.problem_mark.line + 1}: " if broken.problem_mark else ""
        raise fault(f"{line}not valid YAML: {broken.problem}") from broken
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise fault(f"not valid YAML: {broken}") from broken
    return value, lines


def _check_shape(text: str, fault: Callable[[str], ConfigurationError]) -> None:
    """Raise for aliases, for too much depth and for too many keys and values, before anything is built."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        if number > MAX_EVENTS:
            raise fault(f"{line}more than {MAX_EVENTS} keys and values")
        if isinstance(event, yaml.AliasEvent):
            raise fault("it refers to another part of itself (*alias): write that part out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise fault(f"{line}more than {MAX_DEPTH} lists and mappings in each other")


def _lines(place: tuple[int | str, ...], node: yaml.Node) -> Iterator[tuple[tuple[int | str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name} occurs twice", problem_mark=key.start_mark)
            if key.tag == _MERGE:
                raise yaml.MarkedYAMLError(problem="a merge key (<<): write the keys out", problem_mark=key.start_mark)
            seen.add(name)
            yield (*place, name), key.start_mark.line + 1
            yield from _lines((*place, name), value)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines((*place, index), value)
