"""Reports the gate's result: each named check, a JSON report, and an issue in a pipeline."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TextIO

from kspsign.gate.settings import GateSettings
from kspsign.model.report import RunWarning
from kspsign.model.values import Check
from kspsign.publishing import issue, log_line, prepared, write_record
from kspsign.settings.context import RunContext

GATE_SCHEMA = "kspsign.gate/1"


class GateReporter:
    """Writes to `stream` (default: standard output)."""

    def __init__(self, context: RunContext, settings: GateSettings, stream: TextIO | None) -> None:
        self._stream = prepared(stream, context)
        self._settings = settings
        self._in_pipeline = context.surface == "azure-pipelines"
        for line in settings.configuration.notices:
            self._write(log_line(line))

    def warning(self, warning: RunWarning) -> None:
        """What does not close the gate, and should be looked at."""
        if self._in_pipeline:
            self._write(issue("warning", warning.code, f"kspsign gate: {warning.message}. {warning.remedy}"))
        else:
            self._write(log_line(f"warning: {warning.message}. {warning.remedy}"))

    def waiting(self, text: str) -> None:
        """One line while the gate waits."""
        self._write(log_line(f"waiting: {text}"))

    def trace(self, text: str) -> None:
        """One line for a call of the service."""
        self._write(log_line(text))

    def report(self, results: Sequence[tuple[str, Sequence[Check]]]) -> list[str]:
        """Print the checks of each subject, write the report; returns a reason for each subject that is refused."""
        refused = []
        for subject, checks in results:
            self._write(log_line(f"{subject}: {'passed' if all(check.ok for check in checks) else 'REFUSED'}"))
            for check in checks:
                self._write(log_line(f"    {'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}"))
            bad = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
            if bad:
                refused.append(f"{subject} ({'; '.join(bad)})")
        if self._in_pipeline:
            for reason in refused:
                self._write(issue("error", "GATE_REFUSED", f"kspsign gate: {reason}"))
        self._write(f"kspsign gate: {'closed' if refused else 'open'}")
        self._report(results, passed=not refused)
        return refused

    def _report(self, results: Sequence[tuple[str, Sequence[Check]]], *, passed: bool) -> None:
        if self._settings.report is None:
            return
        facts = self._settings.configuration.facts
        content = {
            "schema": GATE_SCHEMA,
            "collection": self._settings.collection,
            "project": self._settings.project,
            "configuration": dataclasses.asdict(facts) if facts else None,
            "passed": passed,
            "subjects": [
                {
                    "name": subject,
                    "passed": all(check.ok for check in checks),
                    "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
                }
                for subject, checks in results
            ],
        }
        write_record(self._settings.report, (json.dumps(content, indent=1).replace("#", "\\u0023"), "\n"))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
