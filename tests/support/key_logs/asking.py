"""Calls `kspsign reconcile` in this process, with everything that a command line has."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kspsign.model.errors import KspSignError
from kspsign.reconciliation.command import run_reconcile
from kspsign.reconciliation.settings import resolve_reconcile
from kspsign.settings.context import RunContext


@dataclass
class Said:
    """What the command said: its exit code, lines, error and remedy, and the reports that it wrote."""

    code: int
    text: str
    error: str = ""
    remedy: str = ""
    report: dict[str, Any] | None = None
    summary: str = ""


def reconcile(folder: Path, variables: dict[str, str] | None = None, **options: Any) -> Said:
    """Compare, with the options by their names in the settings; both reports go to `folder`."""
    report, summary = folder / "reconciliation.json", folder / "reconciliation.md"
    environment = {"AGENT_TEMPDIRECTORY": str(folder), **(variables or {})}
    stream = io.StringIO()
    code, error, remedy = 0, "", ""
    try:
        settings = resolve_reconcile({"report": report, "summary": summary, **options}, environment)
        context = RunContext.from_environment(environment, is_tty=False)
        code = run_reconcile(settings, context, pause=lambda _seconds: False, stream=stream)
    except KspSignError as refused:
        code, error, remedy = refused.exit_code, str(refused), refused.remedy
    said = Said(code, stream.getvalue(), error, remedy)
    if report.exists():
        said.report = json.loads(report.read_text(encoding="ascii"))
        said.summary = summary.read_text(encoding="utf-8")
    return said
