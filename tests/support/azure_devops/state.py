"""What the stand-in for Azure DevOps holds: builds with their timeline and attachments, test runs."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

PROJECT = "Apps"


def guid() -> str:
    """A fresh identifier."""
    return str(uuid.uuid4())


@dataclass
class Attachment:
    """An uploaded file, with the place that the server gave it."""

    kind: str
    name: str
    content: bytes
    timeline_id: str
    record_id: str


@dataclass
class Build:
    """A build; `records` is the timeline of its current attempt as the server tells it."""

    id: int
    status: str = "inProgress"
    result: str | None = None
    timeline_id: str = field(default_factory=guid)
    records: list[dict[str, Any]] = field(default_factory=list)
    former: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The records of earlier attempts, by their timelines."""
    definition: int = 1
    queued: str = "2026-03-01T09:00:00Z"
    finished: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    pipeline: str = "Release"

    def add_job(self, name: str = "Sign", attempt: int = 1) -> dict[str, Any]:
        """A job that runs."""
        return self._add(type="Job", name=name, attempt=attempt, state="inProgress", result=None)

    def add_step(
        self, job: dict[str, Any], task_id: str | None, *, result: str | None = "succeeded", name: str = "kspsign run"
    ) -> dict[str, Any]:
        """A step of a job; without a result it still runs. Steps without `task_id` came from task.logdetail."""
        task = None if task_id is None else {"id": task_id, "name": "KspSign", "version": "0.1.0"}
        state = "inProgress" if result is None else "completed"
        values = {"name": name, "attempt": job["attempt"], "parentId": job["id"]}
        return self._add(type="Task", state=state, result=result, task=task, **values)

    def attach(self, record: dict[str, Any], kind: str, name: str, content: bytes) -> Attachment:
        """Upload a file from a step, as task.addattachment does."""
        made = Attachment(kind, name, content, self.timeline_id, record["id"])
        self.attachments.append(made)
        return made

    def retry(self) -> None:
        """Start the next attempt: its records replace the old ones, whose attachments stay listed."""
        self.former[self.timeline_id] = self.records
        self.timeline_id = guid()
        self.records = []

    def _add(self, **values: Any) -> dict[str, Any]:
        record = {"id": guid(), "parentId": None, "task": None, "previousAttempts": [], "issues": [], **values}
        self.records.append(record)
        return record


@dataclass
class TestRun:
    """A test run as it was posted, with its results and what was attached to them and to it."""

    __test__ = False  # no set of tests

    id: int
    created: dict[str, Any]
    state: str
    results: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[tuple[int | None, str, bytes]] = field(default_factory=list)

    def attached(self, result_id: int | None = None) -> dict[str, Any]:
        """The JSON documents that are attached to the run, or to one of its results, by name."""
        return {name: json.loads(content) for owner, name, content in self.attachments if owner == result_id}


@dataclass
class Organisation:
    """Everything behind one collection URL, in one project."""

    builds: dict[int, Build] = field(default_factory=dict)
    runs: dict[int, TestRun] = field(default_factory=dict)
    secure_files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """By id: the ticket that opens the file, and its content."""
    connections: set[str] = field(default_factory=set)
    """Service connections that the job was permitted to use."""
    oidc_tokens: set[str] = field(default_factory=set)
    """What was given out for them."""

    def add_build(self, number: int = 4711) -> Build:
        """A build that runs."""
        self.builds[number] = Build(number)
        return self.builds[number]
