"""The facts about a build that a gate asks for. Identifiers (GUIDs) are in lower case."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

TASK_ID = "bdcd7e51-2072-4d6e-bb58-01f36a06a7f5"
"""The identity of the KspSign task, as in its task.json: what the server writes into its timeline records."""

DEV_TASK_ID = str(uuid.uuid5(uuid.UUID(TASK_ID), "dev"))
"""The same task in the private dev variant of the extension (tools/package.py)."""

VERDICT_TYPE = "kspsign.verdict"
REPORT_TYPE = "kspsign.report"
LEDGER_TYPE = "kspsign.ledger"


@dataclass(frozen=True, slots=True)
class BuildState:
    """A build: its status ("inProgress", "completed", ...) and its result, which it has once it is completed."""

    id: int
    status: str
    result: str | None

    @property
    def running(self) -> bool:
        """Whether steps may still attach something."""
        return self.status != "completed"


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """An attachment, and the timeline record of the step that uploaded it."""

    kind: str
    name: str
    timeline_id: str
    record_id: str


@dataclass(frozen=True, slots=True)
class TimelineRecord:
    """A stage, job or step. `task_id` is written by the server; a step can't choose it."""

    id: str
    parent_id: str | None
    kind: str
    name: str
    state: str
    result: str | None
    task_id: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The records of an attempt of a build, by their id."""

    id: str
    records: dict[str, TimelineRecord]

    def job_of(self, record: TimelineRecord) -> TimelineRecord | None:
        """The job that the record belongs to."""
        seen: set[str] = set()
        current: TimelineRecord | None = record
        while current is not None and current.kind != "Job" and current.id not in seen:
            seen.add(current.id)
            current = self.records.get(current.parent_id or "")
        return current if current is not None and current.kind == "Job" else None
