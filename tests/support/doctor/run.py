"""`kspsign doctor` as a step runs it: arguments and an environment of its own, and the lines that it printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kspsign.cli.main import main

SITUATIONS = (
    *("nothing set", "macro", "wrong secret", "wrong alias", "disabled", "expired", "no permission", "no network"),
    *("private CA", "near expiry", "superseded", "all well"),
)
BASE = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
NOWHERE = "127.0.0.1:9"
"""Where nobody listens."""


@dataclass(frozen=True)
class Given:
    """What a step gives: options of the doctor, and variables."""

    arguments: tuple[object, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """Exit code, the checks of --json, and all that was printed."""

    code: int
    checks: tuple[dict[str, Any], ...]
    text: str

    def states(self, name: str) -> list[str]:
        """The states of the checks of that name."""
        return [check["state"] for check in self.checks if check["name"] == name]

    def said(self, name: str, state: str) -> str:
        """Detail and remedy of the checks of that name and state."""
        found = [check for check in self.checks if (check["name"], check["state"]) == (name, state)]
        return " ".join(f"{check['detail']} {check['remedy']}" for check in found)


def doctor(given: Given, folder: Path) -> Examined:
    """Run it in this process, in `folder`."""
    text = printed(given, folder, "--json")[1]
    code, content = json.loads(text)["exit_code"], json.loads(text)
    return Examined(code, tuple(content["checks"]), text)


def printed(given: Given, folder: Path, *more: object) -> tuple[int, str]:
    """Exit code and standard output."""
    output = io.StringIO()
    with contextlib.chdir(folder), _environment({**BASE, **given.environment}), contextlib.redirect_stdout(output):
        code = main(["doctor", *map(str, (*given.arguments, *more))])
    return code, output.getvalue()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The step's variables and no others, as the agent starts a process."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
