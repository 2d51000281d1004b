"""The channels of a run: the command line, the task's engine, and the GitHub action, each given the same step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.agent.extension import shared_vsix
from support.agent.mini import Step as AgentStep
from support.agent.mini import agent_for
from support.github import Job

NETWORK = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "REQUESTS_CA_BUNDLE"})
PIPELINE = frozenset({"SYSTEM_OIDCREQUESTURI"})
"""What the task's shim leaves in the engine's environment; all else of the step comes over standard input."""


@dataclass(frozen=True)
class Step:
    """The settings of one step, by their names in a file, and the variables that are mapped into it."""

    settings: Mapping[str, str]
    variables: Mapping[str, str]
    folder: Path
    secrets: tuple[str, ...] = field(default=(), repr=False)


Ended = tuple[int, str]


def command_line(step: Step) -> Ended:
    """The program itself, with the step's environment."""
    options = [text for name, value in step.settings.items() for text in (f"--{name.replace('_', '-')}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "run", "app.exe", *(text for text in options if text != "true")],
        cwd=step.folder,
        env={**os.environ, **step.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def _inputs(step: Step) -> dict[str, str]:
    """The step's settings by the names that the task has for them."""
    inputs: dict[str, str] = {}
    for name, value in step.settings.items():
        first, *rest = name.split("_")
        inputs[first + "".join(word.capitalize() for word in rest)] = value
    return inputs


def packaged_task(step: Step) -> Ended:
    """The packaged task on the mini agent; nothing is masked in its log, as its variables are no secret ones."""
    agent = agent_for(shared_vsix(), step.folder.parent / "agent")
    agent.sources.mkdir(parents=True)
    inputs = {"files": "app.exe", "folder": str(step.folder), "pythonPath": sys.executable, **_inputs(step)}
    run = agent.run(AgentStep(inputs, env=step.variables))
    return 0 if run.result.startswith("Succeeded") else 1, "\n".join(run.raw)


def task(step: Step) -> Ended:
    """The engine as the task's shim starts it."""
    inputs: dict[str, object] = {"files": ["app.exe"]}
    inputs |= {name: True if value == "true" else value for name, value in _inputs(step).items()}
    left = {name: value for name, value in step.variables.items() if name in NETWORK | PIPELINE}
    handed = {name: value for name, value in step.variables.items() if name not in left}
    document = {"version": 1, "command": "run", "inputs": inputs, "secrets": handed, "variables": {}}
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "task"],
        cwd=step.folder,
        env={
            **{name: os.environ[name] for name in ("HOME",)},
            "PATH": step.variables.get("PATH", os.environ["PATH"]),
            **left,
        },
        input=json.dumps(document),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def action(step: Step) -> Ended:
    """The action's own script."""
    return Job(step.folder, variables=step.variables).run(files="app.exe", **step.settings)
