"""What the GitHub action hands to the engine on standard input: its inputs, and the variables that may be secret."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from kspsign.cli.options import settings_fields
from kspsign.model.errors import ConfigurationError

INPUT_PREFIX: Final = "KSPSIGN_INPUT_"
"""Each input is a variable of its own: a container's runner translates paths in single values only."""
HOST_FOLDERS: Final[Mapping[str, str]] = {
    "KSPSIGN_HOST_WORKSPACE": "GITHUB_WORKSPACE",
    "KSPSIGN_HOST_TEMP": "RUNNER_TEMP",
}
"""Folders as expressions of a workflow name them, and the variables with their names inside the job's container."""
ACTION_ONLY = frozenset({"python"})
"""Inputs that choose how the engine is started."""
CONFIG_INPUT = "config"
"""The input that names the configuration file; no other is read."""


@dataclass(frozen=True, slots=True)
class ActionDocument:
    """Command, settings by field (CONFIG_INPUT among them), secrets, and further variables of the step."""

    command: str
    settings: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    variables: dict[str, str] = field(repr=False)


def read_document(content: bytes, environment: Mapping[str, str]) -> ActionDocument:
    """The action's document: NAME=VALUE in UTF-8, a NUL after each. An empty input was not given.

    Raises ConfigurationError for anything but the action's inputs.
    """
    try:
        pairs = [part.decode("utf-8").partition("=") for part in content.split(b"\0")[:-1]]
    except UnicodeDecodeError as broken:
        raise _no_document("text that is not UTF-8") from broken
    variables = {name: value for name, equals, value in pairs if equals}
    if not any(name.startswith(INPUT_PREFIX) for name in variables) or len(variables) != len(pairs):
        raise _no_document("no inputs of the action")
    inputs = {
        name.removeprefix(INPUT_PREFIX).lower(): value.strip()
        for name, value in variables.items()
        if name.startswith(INPUT_PREFIX)
    }
    folders = _folders({**environment, **variables})
    command = inputs.pop("command", "") or "run"
    password = inputs.pop("password", "")
    given = {name: _inside(value, folders) for name, value in inputs.items() if value and name not in ACTION_ONLY}
    known = settings_fields()
    if unknown := sorted(set(given) - set(known) - {CONFIG_INPUT}):
        raise ConfigurationError(
            f"unknown input: {', '.join(name.replace('_', '-') for name in unknown)}",
            remedy="The action's page lists its inputs.",
        )
    settings = {name: _typed(known[name], value) if name in known else value for name, value in given.items()}
    others = {name: value for name, value in variables.items() if not name.startswith("KSPSIGN_")}
    return ActionDocument(command, settings, {"password": password} if password else {}, others)


def _no_document(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"standard input holds {what}",
        remedy="`kspsign action` is for the GitHub action alone; call `kspsign run`.",
    )


def _folders(variables: Mapping[str, str]) -> dict[str, str]:
    """The names of folders outside a container by those inside; none where both are the same."""
    pairs = ((variables.get(outside), variables.get(inside)) for outside, inside in HOST_FOLDERS.items())
    return {outside: inside for outside, inside in pairs if outside and inside and outside != inside}


def _inside(value: str, folders: Mapping[str, str]) -> str:
    """`value` with paths below the runner's folders as the container names them, line by line."""
    lines = value.splitlines()
    for number, line in enumerate(lines):
        mark, path = (line[0], line[1:]) if line[:1] in ("!", "@") else ("", line)
        for outside, inside in folders.items():
            if path == outside or path.startswith((f"{outside}/", f"{outside}\\")):
                lines[number] = f"{mark}{inside}{path[len(outside) :]}"
    return "\n".join(lines)


def _typed(setting: FieldInfo, value: str) -> str | list[str]:
    """A list by lines; all else goes on as text, which the settings read or refuse."""
    annotation = setting.annotation
    kinds = get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
    if any(get_origin(kind) is tuple for kind in kinds):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return value
