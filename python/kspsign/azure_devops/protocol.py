"""The calls the engine makes to Azure DevOps. Every method may raise PrerequisiteError, with a code of `codes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from kspsign.azure_devops.values import AttachmentRef, BuildState, Timeline


@dataclass(frozen=True, slots=True)
class TestRunPlan:
    """A test run to open: its title, the build it is about, and the classic release environment if there is one."""

    __test__ = False  # to pytest a class named Test... would be a set of tests

    title: str
    build_id: int
    started: str
    release_uri: str | None
    release_environment_uri: str | None


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One result of a test run; `message` and `detail` are empty for one that passed. `seconds` is its duration."""

    title: str
    storage: str
    outcome: Literal["Passed", "Failed", "Error"]
    seconds: float
    message: str
    detail: str


class AzureDevOps(Protocol):
    """One project of one collection."""

    def close(self) -> None:
        """Close the connections."""

    def build(self, build_id: int) -> BuildState:
        """Whether the build runs and how it ended."""

    def builds_since(self, definitions: Sequence[int], since: float) -> Iterator[int]:
        """The ids of the builds of these definitions that ended at `since` (seconds since 1970) or later, or still
        run."""

    def timeline(self, build_id: int, timeline_id: str | None = None) -> Timeline:
        """The records of the build's current attempt, or of the one that has that timeline."""

    def attachments(self, build_id: int, kind: str) -> tuple[AttachmentRef, ...]:
        """The attachments of that type, of all attempts."""

    def attachment(self, build_id: int, ref: AttachmentRef) -> bytes:
        """The content of one attachment."""

    def add_tag(self, build_id: int, tag: str) -> None:
        """Tag the build."""

    def set_property(self, build_id: int, name: str, value: str) -> None:
        """Set or replace a property of the build."""

    def create_run(self, plan: TestRunPlan) -> int:
        """Open a test run; returns its number."""

    def add_results(self, run_id: int, results: Sequence[PublishedResult]) -> tuple[int, ...]:
        """Add results to an open run; returns their numbers, in order."""

    def attach_to_run(self, run_id: int, name: str, content: bytes) -> None:
        """Attach a file to a run."""

    def attach_to_result(self, run_id: int, result_id: int, name: str, content: bytes) -> None:
        """Attach a file to one result of a run."""

    def end_run(self, run_id: int, state: Literal["Completed", "Aborted"]) -> None:
        """Close a run."""
