"""Replies of the Azure DevOps REST API as recorded, cut to what matters, for one build that was signed."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from support.gate.chain import Asked, Reply

COLLECTION = "https://dev.example.com/contoso/"
PROJECT = "5e2b9b0c-90cf-4ef5-b3c1-6a7f43e9f0aa"
BUILD = "4711"
BUILD_URL = f"{COLLECTION}{PROJECT}/_apis/build/builds/{BUILD}"
TIMELINE = "9e7d1c52-0f3b-4f0a-8a45-2b6d3c1c1e11"
JOB = "12f1170f-54f2-53f3-20dd-22fc7dff55f9"
SIGN_RECORD = "a7a1a3e5-5c0f-5b4e-8d39-0d5a9c1b2f01"
SCRIPT_RECORD = "c4f6d0c2-1b9e-5a77-9d10-7e0c8b3a4d02"
SIGN_TASK = "bdcd7e51-2072-4d6e-bb58-01f36a06a7f5"
SCRIPT_TASK = "d9bafed4-0b18-4f58-968d-86655b4d2ce9"
VERDICT_NAME = f"verdict-{JOB}-1.json"

SIGN_IN_PAGE = "<!DOCTYPE html><html><head><title>Sign In</title></head><body></body></html>"


def attachment(record: str = SIGN_RECORD, name: str = VERDICT_NAME) -> dict[str, Any]:
    """One entry of the list of attachments, uploaded by the step `record`."""
    href = f"{BUILD_URL}/{TIMELINE}/{record}/attachments/kspsign.verdict/{name}"
    return {"name": name, "_links": {"self": {"href": href}}}


def record(record_id: str, task: str | None, result: str | None, **more: Any) -> dict[str, Any]:
    """One record of the timeline; jobs and stages have no task."""
    reference = {"id": task, "name": "KspSign", "version": "0.1.0"} if task else None
    return {
        "id": record_id,
        "parentId": JOB,
        "type": "Task" if task else "Job",
        "state": "completed" if result else "pending",
        "result": result,
        "task": reference,
        "attempt": 1,
        "previousAttempts": [],
        **more,
    }


def verdict(**changes: Any) -> dict[str, Any]:
    """The verdict of a build with three proved files."""
    return {
        "schema": "kspsign.verdict/1",
        "result": "verified",
        "total": 3,
        "verified": 3,
        "failed": 0,
        "unsigned": 0,
        "buildId": BUILD,
        "jobId": JOB,
        "attempt": 1,
        "reportSha256": "0" * 64,
        "testSigning": False,
        **changes,
    }


@dataclass
class Server:
    """What the service holds about the build; change it, then ask."""

    attachments: list[dict[str, Any]] = field(default_factory=lambda: [attachment()])
    verdict: dict[str, Any] = field(default_factory=verdict)
    records: list[dict[str, Any]] = field(
        default_factory=lambda: [
            record(JOB, None, "succeeded", type="Job", parentId=None),
            record(SCRIPT_RECORD, SCRIPT_TASK, "succeeded"),
            record(SIGN_RECORD, SIGN_TASK, "succeeded"),
        ]
    )
    replies: dict[str, Reply] = field(default_factory=dict)
    """Replies that win over what is held, by a part of the URL."""

    def ask(self, request: Asked) -> Reply:
        """The reply to one request of the gate."""
        for part, reply in self.replies.items():
            if part in request.url:
                return reply
        path = request.url.partition("?")[0]
        if path == f"{BUILD_URL}/attachments/kspsign.verdict":
            return _ok({"count": len(self.attachments), "value": self.attachments})
        if path == f"{BUILD_URL}/timeline":
            return _ok({"id": TIMELINE, "records": self.records})
        if path in {attachment["_links"]["self"]["href"] for attachment in self.attachments}:
            return _ok(self.verdict)
        return Reply(HTTPStatus.NOT_FOUND, json.dumps({"message": "The requested resource does not exist."}))


def _ok(document: Any) -> Reply:
    return Reply(HTTPStatus.OK, json.dumps(copy.deepcopy(document)))
