"""A pipeline as its YAML says, step by step on the mini agent: what a project's library holds is given, and what a step
sets is there for the next ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.agent.environment import Endpoint, environment_name, expand
from support.agent.mini import MiniAgent, Step
from support.agent.secure_files import download
from support.agent.taskrun import TaskRun
from support.azure_devops.server import TOKEN, AzureServer

NOTHING_TO_DO = frozenset({"UsePythonVersion@0"})
"""Tasks whose work is done on this agent."""


@dataclass(frozen=True)
class Project:
    """What a project of Azure DevOps holds for its pipelines, by the names that YAML has for it.

    `build` stands for the scripts: it gets the folder that artifacts are put into. `unwritten` are inputs that make
    the signing step reach this machine's stand-ins. `fetch` stands for DownloadSecureFile@1 where Microsoft's client
    can't run: it gets a name, and returns the path.
    """

    build: Callable[[Path], None]
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secure_files: Mapping[str, bytes] = field(default_factory=dict)
    connections: Mapping[str, Endpoint] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    unwritten: Mapping[str, str] = field(default_factory=dict)
    fetch: Callable[[str], Path] | None = None


def run_pipeline(text: str, agent: MiniAgent, project: Project) -> list[TaskRun]:
    """Run the steps of a pipeline, or of a list of steps; the result of each signing step, until one fails.

    Raises LookupError for what the project does not hold and for steps that are unknown here.
    """
    content = yaml.safe_load(text)
    steps: list[dict[str, Any]] = content if isinstance(content, list) else content["steps"]
    staging = agent.root / "_work" / "1" / "a"
    staging.mkdir(parents=True, exist_ok=True)
    variables = {**project.variables, "Build.ArtifactStagingDirectory": agent.shown(staging)}
    agent.empty_temp()
    project.build(staging)
    done: list[TaskRun] = []
    for step in steps:
        task = step.get("task", "")
        if task == "DownloadSecureFile@1":
            name = step["inputs"]["secureFile"]
            fetched = project.fetch(name) if project.fetch else _download(agent, name, project.secure_files[name])
            variables[f"{step['name']}.secureFilePath"] = agent.shown(fetched)
        elif task == "KspSign@1":
            done.append(_sign(step, agent, project, variables))
            if done[-1].result not in {"Succeeded", "SucceededWithIssues"}:
                break
            variables |= {f"{step.get('name', '')}.{name}": value for name, value in done[-1].outputs.items()}
        elif task and task not in NOTHING_TO_DO:
            raise LookupError(f"no task {task} here")
        elif not task and not step.keys() & {"script", "bash", "pwsh", "publish"}:
            raise LookupError(f"no step like {step} here")
    return done


def _sign(step: Mapping[str, Any], agent: MiniAgent, project: Project, variables: Mapping[str, str]) -> TaskRun:
    inputs = {name: _text(value) for name, value in step["inputs"].items()}
    known = {
        environment_name(name): value for name, value in {**agent.variables(), **variables, **project.secrets}.items()
    }
    mapped = {name: expand(str(value), known) for name, value in step.get("env", {}).items()}
    return agent.run(
        Step(
            {**inputs, **project.unwritten},
            variables,
            project.secrets,
            env={**mapped, **project.environment},
            endpoints=project.connections,
        ),
        keep_temp=True,
    )


def _text(value: object) -> str:
    """A value of YAML as the server hands it on."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _download(agent: MiniAgent, name: str, content: bytes) -> Path:
    with AzureServer() as azure:
        azure.organisation.secure_files[name] = ("ticket", content)
        path = download(agent, name, name, "ticket", server=(azure.url, TOKEN), keep_temp=True)
    assert path is not None
    return path
