"""A policy file read and checked; what is wrong in it is named with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kspsign.model.errors import ConfigurationError
from kspsign.model.report import PolicyFacts
from kspsign.settings.model import Settings
from kspsign.verifying.policy.judge import Judge
from kspsign.verifying.policy.model import Policy

MAX_SIZE = 1 << 18
_SIGNING_COMMANDS = frozenset({"run", "sign"})
_Location = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class _Document:
    """A YAML document's value, and the line (from 1) of each of its keys and items by where it is."""

    value: Any
    lines: Mapping[tuple[int | str, ...], int]

    def line_of(self, location: _Location) -> int:
        """The line of the innermost part of `location` that is in the document."""
        places = (tuple(location[:length]) for length in range(len(location), -1, -1))
        return next((self.lines[place] for place in places if place in self.lines), 1)


def read_policy(path: Path, settings: Settings) -> Judge:
    """What judges files by the policy at `path`; raises as open_policy says."""
    text = _read(path)
    document = _parsed(text, path)
    try:
        policy = Policy.model_validate(document.value)
    except ValidationError as invalid:
        faults = [_fault(error, document) for error in invalid.errors(include_url=False, include_context=False)]
        raise _wrong("; ".join(faults), path) from invalid
    judge = Judge(policy, PolicyFacts(policy.name or path.name, hashlib.sha256(text.encode("utf-8")).hexdigest()))
    _check_agreement(settings, policy, judge.facts.name)
    return judge


def _check_agreement(settings: Settings, policy: Policy, name: str) -> None:
    """Refuse settings by which nothing could ever pass, before a signature is spent."""
    if settings.no_timestamp and policy.timestamp.required:
        raise ConfigurationError(
            f"--no-timestamp, but the policy {name} asks for timestamps",
            code="POLICY",
            remedy="Leave --no-timestamp out, or write `timestamp: {required: false}` into the policy.",
        )
    if settings.command in _SIGNING_COMMANDS and settings.digest not in policy.algorithms.digests:
        raise ConfigurationError(
            f"--digest {settings.digest}, but the policy {name} takes {', '.join(policy.algorithms.digests)} only",
            code="POLICY",
            remedy="Sign with a digest that the policy takes.",
        )


def _read(path: Path) -> str:
    """The text with its line ends as LF: a checkout with others is the same policy."""
    try:
        if path.stat().st_size > MAX_SIZE:
            raise _wrong(f"it is larger than {MAX_SIZE} bytes: this is not a policy", path)
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        raise ConfigurationError(
            "the policy file does not exist", code="POLICY", remedy="Correct --policy.", file=str(path)
        ) from missing
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ConfigurationError(
            f"the policy file can't be read: {unreadable}",
            code="POLICY",
            remedy="Save it as readable UTF-8.",
            file=str(path),
        ) from unreadable


def _parsed(text: str, path: Path) -> _Document:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise _wrong("it refers to another part of itself (*alias): write that part out", path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines((), root)) if root is not None else {}
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as broken:
        line = f"line {broken.problem_mark.line + 1}: " if broken.problem_mark else ""
        raise _wrong(f"{line}not valid YAML: {broken.problem}", path) from broken
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise _wrong(f"not valid YAML: {broken}", path) from broken
    if not isinstance(value, dict):
        raise _wrong("line 1: must be a mapping of rules, at least `name: ...`", path)
    return _Document(value, lines)


def _lines(place: tuple[int | str, ...], node: yaml.Node) -> Iterator[tuple[tuple[int | str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name} stands twice", problem_mark=key.start_mark)
            seen.add(name)
            yield (*place, name), key.start_mark.line + 1
            yield from _lines((*place, name), value)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines((*place, index), value)


def _fault(error: Mapping[str, Any], document: _Document) -> str:
    location: _Location = error["loc"]
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = "there is no such key"
    key = ".".join(str(part) for part in location)
    return f"line {document.line_of(location)}: {key}: {text}" if key else text


def _wrong(message: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        message,
        code="POLICY",
        remedy="Correct the named lines; docs/how-to/policy.md explains each key, `kspsign schema policy` lists them.",
        file=str(path),
    )
