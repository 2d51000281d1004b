"""The timeline record of a running step: log, issues and result, filled while the step writes its lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.agent.masking import SecretMasker
from support.agent.taskrun import Attachment, Issue, Result, Run, Variable, merge

ISSUE_LIMIT = 10


@dataclass(slots=True)
class StepRecord:
    """What the agent holds of a step until it ends."""

    masker: SecretMasker
    debug: bool
    result: Result | None = None
    issues: list[Issue] = field(default_factory=list)
    error_count: int = 0
    warning_count: int = 0
    log: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    test_runs: list[Run] = field(default_factory=list)
    timeline: dict[str, dict[str, str]] = field(default_factory=dict)
    progress: list[tuple[int, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    prepended: list[str] = field(default_factory=list)

    def write(self, line: str) -> None:
        """A line of the log, masked."""
        self.log.append(self.masker.mask(line))

    def write_debug(self, text: str) -> None:
        """A debug line: only where System.Debug is true."""
        if self.debug:
            self.write(f"##[debug]{text}")

    def error(self, message: str, code: str | None = None) -> None:
        """An error: always in the log, on the record only while it has fewer than ten. Fails nothing."""
        self.error_count += 1
        self.write(f"##[error]{message}")
        if self.error_count <= ISSUE_LIMIT:
            self.issues.append(Issue("error", self.masker.mask(message), code))

    def warning(self, message: str, code: str | None = None) -> None:
        """A warning, by the same rule."""
        self.warning_count += 1
        self.write(f"##[warning]{message}")
        if self.warning_count <= ISSUE_LIMIT:
            self.issues.append(Issue("warning", self.masker.mask(message), code))

    def complete(self, result: Result) -> None:
        """Merge a result into the step's."""
        self.result = merge(self.result, result)
