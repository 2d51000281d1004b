"""The inputs of the GitHub action, passed as one JSON object with string values."""

from __future__ import annotations

import json
import types
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from kspsign.cli.options import settings_fields
from kspsign.model.errors import ConfigurationError

INPUTS_VARIABLE = "KSPSIGN_INPUTS"
ACTION_ONLY = frozenset({"python"})
"""Inputs that choose how the engine is started."""
CONFIG_INPUT = "config"
"""The input that names the configuration file; no other is read."""


def read_inputs(text: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Command, settings by field, and secrets, from `text`, the JSON of the action's inputs (names with dashes).

    CONFIG_INPUT is among the settings. An empty input was not given. Raises ConfigurationError for anything but the
    action's inputs.
    """
    try:
        given = {str(name): value.strip() for name, value in json.loads(text).items()}
    except (ValueError, AttributeError) as broken:
        raise ConfigurationError(
            f"{INPUTS_VARIABLE} does not hold the inputs of the action",
            remedy="`kspsign action` is for the GitHub action alone; call `kspsign run`.",
        ) from broken
    command = given.pop("command", "") or "run"
    password = given.pop("password", "")
    fields = {name.replace("-", "_"): value for name, value in given.items() if value and name not in ACTION_ONLY}
    known = settings_fields()
    if unknown := sorted(set(fields) - set(known) - {CONFIG_INPUT}):
        raise ConfigurationError(f"unknown input: {', '.join(unknown)}", remedy="The action's page lists its inputs.")
    settings = {name: _typed(known[name], value) if name in known else value for name, value in fields.items()}
    return command, settings, {"password": password} if password else {}


def _typed(field: FieldInfo, value: str) -> str | list[str]:
    """A list by lines; all else goes on as text, which the settings read or refuse."""
    annotation = field.annotation
    kinds = get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
    if any(get_origin(kind) is tuple for kind in kinds):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return value
