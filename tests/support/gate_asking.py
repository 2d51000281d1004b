"""What the tests of the gate share: builds with the proof of a real run, time that only the gate lets pass."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kspsign.azure_devops import TASK_ID, VERDICT_TYPE
from kspsign.gate.decide import run_gate
from kspsign.gate.settings import resolve_gate
from kspsign.model.errors import KspSignError
from kspsign.settings.context import RunContext
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.state import Build
from support.azure_devops.uploads import JOB_ID, Upload, step_variables


@dataclass
class Waiting:
    """Time that passes only when the gate waits; `meanwhile` happens in the pauses, one after the other."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    meanwhile: list[Any] = field(default_factory=list)
    cancel: bool = False

    def clock(self) -> float:
        """Seconds since some moment."""
        return self.now

    def pause(self, seconds: float) -> bool:
        """Let time pass."""
        self.now += seconds
        self.pauses.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return self.cancel


@dataclass
class Asked:
    """What the gate said."""

    code: int
    text: str
    error: str


def ask(azure: AzureServer, temp: Path, waiting: Waiting | None = None, **options: Any) -> Asked:
    """Ask the gate about build 4711, with its options by their names in the settings."""
    variables = step_variables(azure.url, temp) | {"SYSTEM_ACCESSTOKEN": TOKEN}
    time = waiting or Waiting()
    stream = io.StringIO()
    context = RunContext.from_environment(variables, is_tty=False)
    try:
        settings = resolve_gate(options, variables)
        code = run_gate(settings, context, pause=time.pause, stream=stream, clock=time.clock)
    except KspSignError as error:
        return Asked(error.exit_code, stream.getvalue(), str(error))
    return Asked(code, stream.getvalue(), "")


def add_job(build: Build, attempt: int = 1) -> dict[str, Any]:
    """The job that the proof comes from."""
    job = build.add_job(attempt=attempt)
    job["id"] = JOB_ID
    return job


def attach(build: Build, record: dict[str, Any], proof: tuple[Upload, ...], **changes: Any) -> None:
    """Upload the proof from a step, with changes to the verdict."""
    for upload in proof:
        content = upload.content
        if upload.kind == VERDICT_TYPE:
            content = json.dumps(json.loads(content) | changes).encode()
        build.attach(record, upload.kind, upload.name, content)


def signed_build(azure: AzureServer, proof: tuple[Upload, ...], ended: str = "succeeded", **changes: Any) -> Build:
    """A build in which our task attached the proof."""
    build = azure.organisation.add_build()
    attach(build, build.add_step(add_job(build), TASK_ID, result=ended), proof, **changes)
    return build
