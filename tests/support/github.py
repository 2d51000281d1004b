"""A GitHub runner as far as our composite action goes: expressions, environments, and the last step's own script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.places import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in ACTION["runs"]["steps"]}
_KEPT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "HOME")
_EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")


@dataclass(frozen=True)
class Job:
    """A job whose working folder is `folder`; in a container the workflow's expressions name the `host` folders."""

    folder: Path
    host: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def temp(self) -> Path:
        return self.folder.parent / "_temp"

    def environment(self) -> dict[str, str]:
        """What each step gets."""
        self.temp.mkdir(exist_ok=True)
        return {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ID": "1",
            "GITHUB_WORKSPACE": str(self.folder),
            "GITHUB_OUTPUT": str(self.temp / "output"),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_OS": "Linux",
            **self.variables,
        }

    def expression(self, name: str, inputs: Mapping[str, str]) -> str:
        """The value of ${{ name }}; an input that nobody gave is empty."""
        host = self.host or self.folder
        known = {
            "github.workspace": str(host),
            "runner.temp": str(host.parent / "_temp" if self.host else self.temp),
            "steps.engine.outputs.python": sys.executable,
        }
        if name.startswith("inputs."):
            given = inputs.get(name.removeprefix("inputs."))
            return str(ACTION["inputs"][name.removeprefix("inputs.")].get("default", "")) if given is None else given
        return known[name]

    def start(self, **inputs: str) -> subprocess.Popen[str]:
        """The step that signs, as the runner starts it; names of inputs with underscores for dashes."""
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(ACTION["inputs"])
        step = STEPS["kspsign"]
        own = {
            name: _EXPRESSION.sub(lambda found: self.expression(found[1], given), text)
            for name, text in step["env"].items()
        }
        script = self.temp.parent / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        return subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder,
            env={**self.environment(), **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, **inputs: str) -> tuple[int, str]:
        """Exit code and log of the step."""
        with self.start(**inputs) as step:
            text, _ = step.communicate(timeout=120)
            return step.returncode, text


def document(inputs: Mapping[str, str], **variables: str) -> bytes:
    """What the step's script writes to the engine for `inputs`, by their names."""
    named = {f"KSPSIGN_INPUT_{name.replace('-', '_').upper()}": value for name, value in inputs.items()}
    return "".join(f"{name}={value}\0" for name, value in {**named, **variables}.items()).encode()
