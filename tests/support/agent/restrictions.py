"""What a step may do by logging commands: the task's own restrictions and the YAML step's target, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

RESTRICTED_ALLOWS = frozenset(
    f"task.{event}"
    for event in (
        *("logdetail", "logissue", "complete", "setprogress", "setsecret", "setvariable"),
        *("debug", "settaskvariable", "prependpath"),
    )
) | {"telemetry.publish"}


@dataclass(frozen=True, slots=True)
class StepTarget:
    """The `target:` of a YAML step; `settable_variables` None means any."""

    restricted: bool = False
    settable_variables: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The union of all restrictions that hold for a step."""

    restricted: bool
    settable: tuple[tuple[str, ...], ...]

    def allows_command(self, name: str) -> bool:
        """Whether the command `name` ("task.addattachment") is carried out at all."""
        return not self.restricted or name in RESTRICTED_ALLOWS

    def allows_variable(self, name: str) -> bool:
        """Whether the variable may be set: it must match a pattern of every list, ignoring case."""
        return all(
            any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns) for patterns in self.settable
        )


def restrictions(definition: Mapping[str, Any], target: StepTarget) -> Restrictions:
    """The restrictions of a task.json and a step's target."""
    own = definition.get("restrictions", {})
    settable = []
    if "settableVariables" in own:
        settable.append(tuple(own["settableVariables"]["allowed"]))
    if target.settable_variables is not None:
        settable.append(target.settable_variables)
    restricted = own.get("commands", {}).get("mode") == "restricted"
    return Restrictions(restricted or target.restricted, tuple(settable))
