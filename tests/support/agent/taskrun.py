"""What is left of one step once the agent has run it: what a user sees on the run's page and in its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Result = Literal["Succeeded", "SucceededWithIssues", "Failed", "Canceled", "Skipped", "Abandoned"]
RESULTS: tuple[Result, ...] = ("Succeeded", "SucceededWithIssues", "Failed", "Canceled", "Skipped", "Abandoned")


@dataclass(frozen=True, slots=True)
class Issue:
    """An error or warning that is kept on the step's timeline record."""

    kind: Literal["error", "warning"]
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A pipeline variable that the step has set."""

    value: str
    secret: bool
    output: bool
    read_only: bool


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was uploaded: the bytes as they were when the agent read the command."""

    type: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One result of a published test run; `storage` is the class name, `seconds` the duration."""

    name: str
    storage: str | None
    outcome: Literal["Passed", "Failed", "NotExecuted"]
    seconds: float
    message: str | None
    stack: str | None
    output: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """A published test run."""

    title: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One step after its end. `log` is masked; `raw` is what the task really wrote; `leftover` lists _temp."""

    result: Result
    exit_code: int
    handler: str
    issues: tuple[Issue, ...]
    error_count: int
    warning_count: int
    log: tuple[str, ...]
    raw: tuple[str, ...]
    variables: Mapping[str, Variable]
    attachments: tuple[Attachment, ...]
    summaries: tuple[Attachment, ...]
    test_runs: tuple[Run, ...]
    timeline: tuple[Mapping[str, str], ...]
    progress: tuple[tuple[int, str], ...]
    tags: tuple[str, ...]
    prepended: tuple[str, ...]
    leftover: tuple[str, ...]

    @property
    def outputs(self) -> dict[str, str]:
        """The output variables by name."""
        return {name: variable.value for name, variable in self.variables.items() if variable.output}

    @property
    def errors(self) -> tuple[str, ...]:
        """The messages of the errors kept on the record."""
        return tuple(issue.message for issue in self.issues if issue.kind == "error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages of the warnings kept on the record."""
        return tuple(issue.message for issue in self.issues if issue.kind == "warning")


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job after its end: the main phases that were started, and the post-job phases in the order they ran."""

    main: tuple[TaskRun, ...]
    post: tuple[TaskRun, ...]


def merge(current: Result | None, coming: Result) -> Result:
    """The agent's rule for several results of one step: the worse wins, but nothing changes a final Canceled."""
    if current is None:
        return coming
    if RESULTS.index(current) > RESULTS.index("Failed"):
        return current
    return max(current, coming, key=RESULTS.index)
