"""What the doctor says: a line with a mark for each check, or JSON; whether a run is ready to start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TextIO

from kspsign.doctor.checks import all_checks
from kspsign.keys.prerequisites import Prerequisite, State, failed, not_checked
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.publishing.logging_commands import AzureLog
from kspsign.publishing.sanitize import log_line
from kspsign.publishing.setting_words import SettingWords
from kspsign.publishing.workflow_commands import GitHubLog
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.context import RunContext, Surface
from kspsign.settings.model import Settings, in_temp_folder
from kspsign.settings.unmapped import in_text, unmapped_error

EXIT_NOT_READY = 5
_PIPELINES: Final[Mapping[Surface, AzureLog | GitHubLog]] = {
    "azure-pipelines": AzureLog(),
    "github-actions": GitHubLog(),
}
"""Where lines of the log can be issues of the run."""
SCHEMA = "kspsign.doctor/2"
_MARKS: Final[dict[State, str]] = {"ok": "✔", "warning": "▲", "failed": "✘", "not checked": "·"}
_PLAIN_MARKS: Final[dict[State, str]] = {
    "ok": "[ ok ]",
    "warning": "[warn]",
    "failed": "[FAIL]",
    "not checked": "[ -- ]",
}
"""Where the output can't show the others."""
_WORDS: Final[dict[State, tuple[str, str]]] = {
    "failed": ("check failed", "checks failed"),
    "ok": ("passed", "passed"),
    "warning": ("warning", "warnings"),
    "not checked": ("not checked", "not checked"),
}


def run_doctor(settings: Settings, context: RunContext, out: TextIO, *, as_json: bool) -> int:
    """Make every check that a run with `settings` needs; 0 when it is ready, else EXIT_NOT_READY. Nothing is signed."""
    checks = all_checks(in_temp_folder(settings, context.temp_folder), context)
    return _report(checks, context, out, as_json=as_json, configuration=settings.configuration)


def report_refused(error: KspSignError, context: RunContext, out: TextIO, *, as_json: bool) -> int:
    """The report where the settings themselves are refused, so that nothing else can be checked; the error's exit
    code."""
    others = not_checked("everything else", "needs the settings, which were rejected")
    macros = in_text("a setting", str(error))
    unmapped = [failed("variable", unmapped_error(found, context.surface)) for found in macros]
    checks = [*unmapped, failed("settings", error), others]
    return _report(checks, context, out, as_json=as_json, not_ready=error.exit_code)


def doctor_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of what --json prints."""
    text = {"type": "string"}
    check = {
        "name": {**text, "description": "What was checked; a name may come several times, such as timestamp server."},
        "state": {"enum": list(_MARKS), "description": "ok and warning passed; not checked says nothing either way."},
        "detail": {**text, "description": "What was seen, or why it was not checked."},
        "remedy": {**text, "description": "What to do; empty when there is nothing to do."},
        "code": {**text, "description": "For `kspsign explain`; empty unless the check failed."},
    }
    content = {
        "schema": {"const": SCHEMA},
        "passed": {"type": "boolean", "description": "No check failed: a run is ready to start."},
        "exit_code": {"enum": [0, ConfigurationError.exit_code, EXIT_NOT_READY]},
        "checks": {"type": "array", "items": _closed(check)},
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA}
    return {**head, **_closed(content)}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _report(
    checks: Iterable[Prerequisite],
    context: RunContext,
    out: TextIO,
    *,
    as_json: bool,
    not_ready: int = EXIT_NOT_READY,
    configuration: ConfigOrigin | None = None,
) -> int:
    found = []
    marks, pipeline = _marks(out), _PIPELINES.get(context.surface)
    words = SettingWords(context.caller, configuration or ConfigOrigin())
    for check in (check._replace(remedy=words.rendered(check.remedy)) for check in checks):
        found.append(check)
        if not as_json:
            shown = (log_line(line) for line in _lines(check, marks))
            out.writelines(f"{pipeline.text(line) if pipeline else line}\n" for line in shown)
            out.flush()
    ready = not any(check.state == "failed" for check in found)
    exit_code = 0 if ready else not_ready
    if as_json:
        names = ("name", "state", "detail", "remedy", "code")
        listed = [{name: getattr(check, name) for name in names} for check in found]
        content = {"schema": SCHEMA, "passed": ready, "exit_code": exit_code, "checks": listed}
        out.write(json.dumps(content, indent=2) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _issues(found, pipeline))
        out.write(f"kspsign doctor: {'ready' if ready else 'not ready'} ({_counts(found)})\n")
    return exit_code


def _issues(found: list[Prerequisite], pipeline: AzureLog | GitHubLog | None) -> Iterator[str]:
    """In a pipeline, what failed or needs attention as issues of the run, each with its remedy."""
    for check in found:
        if pipeline is not None and check.state in {"failed", "warning"}:
            kind: Literal["error", "warning"] = "error" if check.state == "failed" else "warning"
            text = f"kspsign doctor: {check.name}: {check.detail}. {check.remedy}"
            yield pipeline.issue(kind, check.code or "DOCTOR", text, None)


def _counts(found: list[Prerequisite]) -> str:
    counts = Counter(check.state for check in found)
    said = ((counts[state], words) for state, words in _WORDS.items())
    return ", ".join(f"{count} {words[count != 1]}" for count, words in said if count)


def _marks(out: TextIO) -> dict[State, str]:
    try:
        "".join(_MARKS.values()).encode(getattr(out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_MARKS
    return _MARKS


def _lines(check: Prerequisite, marks: dict[State, str]) -> Iterator[str]:
    mark = marks[check.state]
    unmade = "not checked: " if check.state == "not checked" else ""
    yield f"{mark} {check.name}: {unmade}{check.detail}"
    if check.remedy:
        yield f"{' ' * len(mark)} remedy: {check.remedy}"
