"""Writes the records of a run: the requested files, and in a pipeline its results, summary and verdict."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TextIO

from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.load import load
from kspsign.model.report import Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.console import prepared
from kspsign.publishing.logging_commands import issue, logging_command
from kspsign.publishing.report_file import write_record
from kspsign.publishing.workflow_commands import output_text, summary_part
from kspsign.settings.context import RunContext
from kspsign.settings.model import OUTPUTS, STANDARD_OUTPUT

VERIFIED_TAG = "kspsign-verified"
VERDICT_SCHEMA = "kspsign.verdict/1"
LARGE_LEDGER = 8 << 20
"""Bytes of a ledger beyond which it is attached as gzip."""
_PROVING_COMMANDS = frozenset({"run", "verify", "merge"})
"""Commands whose outcome a release may rest on; only they publish results and a verdict.

A run over a slice publishes none: `merge` publishes those of all slices together.
"""


class _OwnFiles(NamedTuple):
    """Files that the agent uploads later, from a folder of this step alone."""

    folder: Path
    suffix: str

    def path(self, name: str, ending: str) -> Path:
        return self.folder / f"{name}-{self.suffix}{ending}"


class _Texts:
    """The texts of the records, by the fields of OUTPUTS, each in pieces.

    A text of one piece is created when it is first used; one that grows with the files each time, and never whole.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> Iterable[str]:
        if name not in self._made:
            text: str | Iterable[str] = load(OUTPUTS[name])(self._report)
            if not isinstance(text, str):
                return text
            self._made[name] = text
        return (self._made[name],)


def write_records(
    report: Report,
    *,
    files: Mapping[str, Path],
    context: RunContext,
    stream: TextIO | None = None,
    in_service: bool = False,
    ledger: Path | None = None,
) -> None:
    """Write `files` (by the fields of OUTPUTS); in a pipeline also hand results, summary, report and verdict to the
    agent.

    `ledger` is the file with the run's uses of the key, which is attached to the build. `in_service` says that test run
    and tag are in Azure DevOps already (`publish_evidence`).
    The agent uploads from copies of our own, in a folder that no other step writes to: paths with commas and
    later steps that change a file do no harm. Raises ConfigurationError when a file can't be written; nothing
    is published then.
    """
    texts = _Texts(report)
    for name, path in files.items():
        if path == STANDARD_OUTPUT:
            sys.stdout.writelines(texts[name])
        else:
            write_record(path, texts[name])
    named = files.get("report")
    report_file = None if named == STANDARD_OUTPUT else named
    if context.surface == "github-actions":
        _github_records(report, context, report_file, texts)
    if context.surface != "azure-pipelines":
        return
    own = _own_files(context)
    variables = _variables(report, _kept_report(report_file, own, texts["report"]))
    commands = [
        logging_command("task.setvariable", value, variable=name, isoutput="true") for name, value in variables.items()
    ]
    if ledger is not None:
        commands.append(_ledger_command(ledger))
    if is_proving(report):
        commands += _evidence(report, context, own, texts)
        if "html" in files:
            commands.append(_page(own, texts["html"]))
        if not in_service:
            commands += _results_and_tag(report, context, own)
    out = prepared(stream, context)
    out.write("".join(f"{command}\n" for command in commands))
    out.flush()


def is_proving(report: Report) -> bool:
    """Whether a release may rest on this run, so that its results and verdict are published."""
    return report.command in _PROVING_COMMANDS and report.slice is None and not report.dry_run


def deserves_tag(report: Report) -> bool:
    """Whether the build may be marked as verified: everything is verified, with release keys."""
    return report.passed and bool(report.files) and not report.test_signing


def without_evidence(report: Report, error: KspSignError) -> Report:
    """The report of a run whose evidence was asked for and could not be left: a failed one."""
    fault = replace(ErrorFacts.of(error), message=f"the results could not be published: {error}")
    code = report.exit_code or error.exit_code
    return replace(report, passed=False, exit_code=code, error=report.error or fault)


def verdict_document(report: Report, context: RunContext, report_sha256: str) -> dict[str, str | int | bool | None]:
    """The small document that a release gate asks for; `failed` counts every file that is not proved."""
    verified = sum(outcome.verdict.ok and not wording.is_failure(outcome) for outcome in report.files)
    total = max(report.totals.matched, len(report.files))
    result = "verified" if report.passed and verified == total > 0 else "failed"
    if report.exit_code == wording.CANCELLED_EXIT_CODE:
        result = "cancelled"
    return {
        "schema": VERDICT_SCHEMA,
        "result": result,
        "total": total,
        "verified": verified,
        "failed": total - verified,
        "leftOut": report.left_out.total,
        "unsigned": sum(not outcome.signatures and not outcome.verdict.ok for outcome in report.files),
        "buildId": context.build.id if context.build else None,
        "jobId": context.job_id,
        "attempt": context.build.attempt if context.build else 1,
        "reportSha256": report_sha256,
        "testSigning": report.test_signing,
        "policyDigest": report.policy.sha256 if report.policy else None,
    }


def _own_files(context: RunContext) -> _OwnFiles:
    job = "".join(char for char in context.job_id or "job" if char.isascii() and (char.isalnum() or char in "-_"))
    suffix = f"{job}-{context.build.attempt if context.build else 1}"
    parent = context.temp_folder.absolute() / "kspsign"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return _OwnFiles(Path(tempfile.mkdtemp(prefix=f"{suffix}-", dir=parent)), suffix)
    except OSError as refused:
        raise ConfigurationError(
            f"can't create a folder for the results: {refused}",
            remedy="Give the agent's user write access to Agent.TempDirectory, and room on its disk.",
            file=str(parent),
        ) from refused


def _kept_report(asked: Path | None, own: _OwnFiles, pieces: Iterable[str]) -> Path:
    write_record(own.path("report", ".json"), pieces)
    return asked.absolute() if asked is not None else own.path("report", ".json")


def _variables(report: Report, report_path: Path) -> dict[str, str]:
    values = {
        "filesMatched": str(report.totals.matched),
        "filesSigned": str(report.totals.signed),
        "filesFailed": str(sum(wording.is_failure(outcome) for outcome in report.files)),
        "reportPath": str(report_path),
    }
    if report.certificate is not None:
        values["thumbprint"] = report.certificate.thumbprint
    return values


def _github_records(report: Report, context: RunContext, report_file: Path | None, texts: _Texts) -> None:
    """Outputs and summary of a step of GitHub Actions."""
    files = context.step_files
    if files is not None and files.outputs is not None:
        report_path = _kept_report(report_file, _own_files(context), texts["report"])
        _append(files.outputs, output_text(_variables(report, report_path)))
    if files is not None and files.summary is not None and is_proving(report):
        _append(files.summary, summary_part("".join(texts["summary"])))


def _append(target: Path, text: str) -> None:
    try:
        with target.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as refused:
        raise ConfigurationError(
            f"can't write to the step's file: {refused}",
            remedy="Run the step on an unmodified GitHub Actions runner, or without GITHUB_ACTIONS.",
            file=str(target),
        ) from refused


def _evidence(report: Report, context: RunContext, own: _OwnFiles, texts: _Texts) -> list[str]:
    report_copy, results, verdict = (
        own.path("report", ".json"),
        own.path("junit", ".xml"),
        own.path("verdict", ".json"),
    )
    overview = own.path("signature-verification", ".md")
    with report_copy.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    write_record(results, texts["junit"])
    write_record(overview, texts["summary"])
    write_record(verdict, (json.dumps(verdict_document(report, context, digest), indent=1), "\n"))
    return [
        logging_command("task.uploadsummary", str(overview)),
        logging_command("task.uploadfile", str(report_copy)),
        logging_command("task.addattachment", str(report_copy), type="kspsign.report", name=report_copy.name),
        logging_command("task.addattachment", str(verdict), type="kspsign.verdict", name=verdict.name),
    ]


def _ledger_command(ledger: Path) -> str:
    """Attach the ledger of the run; a large one as gzip."""
    try:
        if ledger.stat().st_size > LARGE_LEDGER:
            packed = ledger.with_name(f"{ledger.name}.gz")
            with ledger.open("rb") as plain, gzip.open(packed, "wb") as target:
                shutil.copyfileobj(plain, target)
            ledger = packed
    except OSError as refused:
        raise ConfigurationError(
            f"can't pack the ledger to attach it: {refused}",
            remedy="Give the agent's user write access to Agent.TempDirectory, and room on its disk.",
            file=str(ledger),
        ) from refused
    return logging_command("task.addattachment", str(ledger), type="kspsign.ledger", name=ledger.name)


def _page(own: _OwnFiles, pieces: Iterable[str]) -> str:
    """The command by which the agent puts the HTML page that was asked for into the logs of the run."""
    page = own.path("signatures", ".html")
    write_record(page, pieces)
    return logging_command("task.uploadfile", str(page))


def _results_and_tag(report: Report, context: RunContext, own: _OwnFiles) -> list[str]:
    """The commands by which the agent publishes to Azure DevOps when we have no token."""
    commands = [_results_command(own.path("junit", ".xml"), test_signing=report.test_signing)]
    if context.build is not None and deserves_tag(report):
        commands.append(logging_command("build.addbuildtag", VERIFIED_TAG))
    return commands


def _results_command(results: Path, *, test_signing: bool) -> str:
    if "," in str(results):
        return issue(
            "warning",
            "RESULTS_NOT_PUBLISHED",
            f"the agent can't publish test results from a path with a comma: {results}. "
            "Remedy: move the agent's work folder to a path without commas.",
        )
    return logging_command(
        "results.publish",
        type="JUnit",
        resultFiles=str(results),
        mergeResults="true",
        runTitle=f"{wording.SUITE_NAME} (TEST SIGNING)" if test_signing else wording.SUITE_NAME,
        publishRunAttachments="true",
        testRunSystem="kspsign",
    )
