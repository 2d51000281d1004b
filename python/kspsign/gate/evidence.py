"""Reads what a step attached to a build, defensively: any step can attach anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kspsign.azure_devops import REPORT_TYPE, AttachmentRef, AzureDevOps, Timeline, TimelineRecord
from kspsign.gate.settings import GateSettings
from kspsign.model.report import REPORT_SCHEMA
from kspsign.model.values import Check
from kspsign.publishing import VERDICT_SCHEMA

COMPLETED = "completed"
SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Examined:
    """One verdict with what its checks found; `proved` maps the path of a file in the report to its sha256."""

    checks: tuple[Check, ...]
    pending: bool
    proved: dict[str, str]


def examine(
    client: AzureDevOps, build_id: int, ref: AttachmentRef, timeline: Timeline, settings: GateSettings
) -> Examined:
    """Every check of one verdict of the current attempt. Only our own step's words are read at all."""
    record = timeline.records[ref.record_id]
    origin, step = _origin(record, settings.task_id), _step(record)
    if not (origin.ok and step.ok):
        return Examined((origin, step), origin.ok and record.state != COMPLETED, {})
    verdict = _object(client.attachment(build_id, ref))
    checks = [origin, step, _identity(verdict, build_id, timeline.job_of(record)), _result(verdict)]
    checks.append(_test_signing(verdict, allowed=settings.allow_test_signing))
    report, fault = _report(client, build_id, ref, verdict)
    proved = _proved(report)
    if not fault and report.get("passed") is not True:
        fault = "it states that the run did not pass"
    if not fault and len(proved) < 1:
        fault = "it covers no verified file"
    checks.append(Check("report", not fault, fault or f"{len(proved)} proved files, as the verdict's digest says"))
    if settings.policy_sha256 is not None:
        checks.append(_policy(report, settings.policy_sha256))
    return Examined(tuple(checks), pending=False, proved=proved)


def _origin(record: TimelineRecord, task_id: str) -> Check:
    ours = record.kind == "Task" and record.task_id == task_id
    by = f"step {record.name!r}"
    return Check("origin", ours, f"uploaded by the {by}" if ours else f"the {by} is not the KspSign task")


def _step(record: TimelineRecord) -> Check:
    ended = record.result if record.state == COMPLETED else record.state
    return Check("step", ended == SUCCEEDED, f"the step {record.name!r} has {ended}")


def _identity(verdict: dict[str, Any], build_id: int, job: TimelineRecord | None) -> Check:
    """The verdict must be about this build, this job and this attempt: it may have been taken from another."""
    faults = []
    if verdict.get("schema") != VERDICT_SCHEMA:
        faults.append(f"its schema is {verdict.get('schema')!r}")
    if verdict.get("buildId") != str(build_id):
        faults.append(f"it is about build {verdict.get('buildId')!r}")
    if job is None:
        faults.append("its step belongs to no job")
    elif (str(verdict.get("jobId")).lower(), _count(verdict, "attempt")) != (job.id, job.attempt):
        faults.append(f"it is about attempt {verdict.get('attempt')!r} of job {verdict.get('jobId')!r}")
    shown = "this build, job and attempt"
    return Check("identity", not faults, "; ".join(faults) or shown)


def _result(verdict: dict[str, Any]) -> Check:
    total, verified, failed = (_count(verdict, key) for key in ("total", "verified", "failed"))
    good = verdict.get("result") == "verified" and verified == total > 0 == failed
    return Check("result", good, f"{verdict.get('result')}: {verified} of {total} verified, {failed} not")


def _count(verdict: dict[str, Any], key: str) -> int:
    """A count, -1 for what is none (in JSON, true is not a number)."""
    value = verdict.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _test_signing(verdict: dict[str, Any], *, allowed: bool) -> Check:
    marked = verdict.get("testSigning")
    good = marked is False or (marked is True and allowed)
    shown = {False: "release keys", True: "TEST SIGNING" + (", allowed" if allowed else "")}
    return Check("keys", good, shown[marked] if isinstance(marked, bool) else "the verdict does not state it")


def _report(
    client: AzureDevOps, build_id: int, ref: AttachmentRef, verdict: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """The report that has the verdict's digest, or why there is none. The same step must have uploaded it."""
    place = (ref.timeline_id, ref.record_id)
    found = [
        attachment
        for attachment in client.attachments(build_id, REPORT_TYPE)
        if (attachment.timeline_id, attachment.record_id) == place
    ]
    if not found:
        return {}, "the step did not attach one"
    for item in found:
        content = client.attachment(build_id, item)
        if hashlib.sha256(content).hexdigest() == verdict.get("reportSha256"):
            report = _object(content)
            return report, "" if report.get("schema") == REPORT_SCHEMA else f"its schema is {report.get('schema')!r}"
    return {}, "its SHA-256 is not the one in the verdict"


def _proved(report: dict[str, Any]) -> dict[str, str]:
    """The files that strict verification accepted: the sha256 of each by its path."""
    files = report.get("files")
    proved: dict[str, str] = {}
    for file in files if isinstance(files, list) else ():
        verdict = file.get("verdict") if isinstance(file, dict) else None
        if isinstance(verdict, dict) and verdict.get("result") == "verified" and file.get("error") is None:
            digest, path = file.get("sha256_after"), file.get("path")
            if isinstance(digest, str) and isinstance(path, str):
                proved[path] = digest
    return proved


def _policy(report: dict[str, Any], wanted: str) -> Check:
    """The report's word, which the verdict's digest vouches for."""
    stated = report.get("policy")
    if not isinstance(stated, dict):
        return Check("policy", ok=False, detail="no policy judged the files")
    digest = stated.get("sha256")
    return Check("policy", ok=digest == wanted, detail=f"{stated.get('name')!r}, sha256 {digest}, {wanted} is wanted")


def _object(content: bytes) -> dict[str, Any]:
    """The JSON object, an empty one for anything else: each check of it then fails by its own name."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
