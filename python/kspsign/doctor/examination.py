"""One examined prerequisite, and what all examinations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kspsign.model.errors import KspSignError
from kspsign.settings.model import Settings

State = Literal["ok", "warning", "missing", "not needed"]


@dataclass(frozen=True, slots=True)
class Examined:
    """A prerequisite: `requirement` is its number in the documentation, `remedy` is empty when all is well."""

    name: str
    requirement: str
    state: State
    detail: str
    remedy: str = ""


def examine(name: str, requirement: str, look: Callable[[], str]) -> Examined:
    """What `look` finds; an error of ours is a missing prerequisite with that error's remedy."""
    try:
        return Examined(name, requirement, "ok", look())
    except KspSignError as error:
        return Examined(name, requirement, "missing", str(error), error.remedy)


def signs_by_tool(settings: Settings) -> bool:
    """Whether these settings sign through a KSP."""
    return settings.key_store == "windows" or settings.engine in {"signtool", "smctl"}
