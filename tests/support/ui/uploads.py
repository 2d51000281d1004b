"""What steps of a build attach: a report, and its verdict as a run writes it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kspsign.azure_devops import REPORT_TYPE, VERDICT_TYPE
from kspsign.model.report import Report
from kspsign.publishing.records import VERDICT_SCHEMA
from kspsign.publishing.report_file import report_text
from support.azure_devops.state import Build


def upload(build: Build, step: dict[str, Any], report: Report) -> None:
    """The step attaches `report` with its verdict, as a run does."""
    content = report_text(report).encode()
    total, verified = report.totals.matched, report.totals.verified
    verdict = {
        "schema": VERDICT_SCHEMA,
        "result": "verified" if report.passed else "failed",
        "total": total,
        "verified": verified,
        "failed": total - verified,
        "buildId": str(build.id),
        "jobId": step["parentId"],
        "attempt": step["attempt"],
        "reportSha256": hashlib.sha256(content).hexdigest(),
        "testSigning": report.test_signing,
    }
    build.attach(step, REPORT_TYPE, "report.json", content)
    build.attach(step, VERDICT_TYPE, "verdict.json", json.dumps(verdict).encode())
