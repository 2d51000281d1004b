"""The files of a run as a table (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io

from kspsign.model.report import Report
from kspsign.publishing.sanitize import visible


def csv_text(report: Report) -> str:
    """A line for each file: its path, and what was proved of it."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(("path", "outcome", "verdict"))
    rows.writerows((visible(file.path), file.outcome, file.verdict.result) for file in report.files)
    return out.getvalue()
