"""The evidence in Azure DevOps itself: a test run with the report attached, the build's properties and tag.

With a token only. Without one the agent publishes the results by logging commands, which can attach nothing to an
artifact's result and know no release environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from pydantic import SecretStr

from kspsign.azure_devops import AzureDevOps, PublishedResult, TestRunPlan, open_client
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.report import FileOutcome, Report
from kspsign.model.run_facts import BuildFacts
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.records import VERIFIED_TAG, deserves_tag
from kspsign.publishing.report_file import outcome_text, report_pieces
from kspsign.publishing.sanitize import clipped, visible
from kspsign.settings.context import RunContext

DIGEST_PROPERTY = "kspsign.reportSha256"
ATTACHMENTS = 200
"""Results that get their part of the report attached, failures first; the whole report hangs on the run."""
RESULTS = 10_000
"""Files that get a result, failures first. The report of more is attached as gzip: the server takes 100 MB."""
_GZIP = 31
"""zlib's number for the format of RFC 1952."""

TITLE_LIMIT, TEXT_LIMIT = 512, 4000
"""Characters that the server keeps of a result's title, and of its texts."""


class ReportAttachment(NamedTuple):
    """The report as a file; `sha256` is that of its text."""

    name: str
    content: bytes
    sha256: str


def publish_evidence(
    report: Report, context: RunContext, token: SecretStr, network: NetworkOptions, pause: Callable[[float], bool]
) -> None:
    """Leave the evidence of the run in Azure DevOps.

    `pause` waits the seconds, and says whether the run was cancelled meanwhile. Raises what the client does, and
    ConfigurationError where there is no build.
    """
    build = _build(context)
    client = open_client(
        build.collection, build.project, token, network=network, temp_folder=context.temp_folder, pause=pause
    )
    with contextlib.closing(client):
        _publish(client, int(build.id), report, context)


def _build(context: RunContext) -> BuildFacts:
    build = context.build
    foreign = context.surface == "github-actions"
    if build is None or foreign or not build.id.isdecimal() or not build.collection or not build.project:
        raise ConfigurationError(
            "there is no build to publish the results to",
            remedy="Publish from Azure Pipelines, whose variables name collection and build, or without token.",
        )
    return build


def _publish(client: AzureDevOps, build_id: int, report: Report, context: RunContext) -> None:
    attachment = report_attachment(report)
    title = f"{wording.SUITE_NAME} (TEST SIGNING)" if report.test_signing else wording.SUITE_NAME
    plan = TestRunPlan(title, build_id, report.started, context.release_uri, context.release_environment_uri)
    run = client.create_run(plan)
    try:
        _fill(client, run, report, attachment)
    except BaseException:
        # A run that stays open looks as if results were still to come.
        with contextlib.suppress(KspSignError):
            client.end_run(run, "Aborted")
        raise
    client.end_run(run, "Completed")
    client.set_property(build_id, DIGEST_PROPERTY, attachment.sha256)
    if deserves_tag(report):
        client.add_tag(build_id, VERIFIED_TAG)


def _fill(client: AzureDevOps, run: int, report: Report, attachment: ReportAttachment) -> None:
    outcomes = wording.failures_first(report)[:RESULTS]
    results = [_result(outcome) for outcome in outcomes]
    if report.error is not None or not results:
        error = report.error or ErrorFacts("NOT_VERIFIED", None, "no file was verified", "Check the patterns.")
        results.append(_complaint(f"kspsign {report.command}", "kspsign", "Error", 0.0, error))
    numbers = client.add_results(run, results)
    client.attach_to_run(run, attachment.name, attachment.content)
    for outcome, number in list(zip(outcomes, numbers, strict=False))[:ATTACHMENTS]:
        client.attach_to_result(run, number, "kspsign-verdict.json", outcome_text(outcome).encode("utf-8"))


def report_attachment(report: Report) -> ReportAttachment:
    """The report as it is attached, compressed when it is large; the digest is that of its text."""
    digest, packer = hashlib.sha256(), zlib.compressobj(wbits=_GZIP)
    large = len(report.files) > RESULTS
    content = bytearray()
    for piece in report_pieces(report):
        text = piece.encode("utf-8")
        digest.update(text)
        content += packer.compress(text) if large else text
    content += packer.flush() if large else b""
    name = "kspsign-report.json.gz" if large else "kspsign-report.json"
    return ReportAttachment(name, bytes(content), digest.hexdigest())


def _result(outcome: FileOutcome) -> PublishedResult:
    title, storage = visible(outcome.path), f"kspsign.{outcome.format or 'unknown'}"
    seconds = sum(outcome.seconds.values())
    if outcome.verdict.ok and not wording.is_failure(outcome):
        return PublishedResult(clipped(title, TITLE_LIMIT), storage, "Passed", seconds, "", "")
    kind: Literal["Failed", "Error"] = "Failed" if outcome.verdict.result == "failed" else "Error"
    return _complaint(title, storage, kind, seconds, wording.failure_facts(outcome), wording.other_checks(outcome))


def _complaint(
    title: str,
    storage: str,
    outcome: Literal["Failed", "Error"],
    seconds: float,
    error: ErrorFacts,
    checks: Sequence[str] = (),
) -> PublishedResult:
    lines = [*wording.remedy_lines(error), *checks]
    return PublishedResult(
        title=clipped(title, TITLE_LIMIT),
        storage=storage,
        outcome=outcome,
        seconds=seconds,
        message=clipped(visible(f"{wording.code_text(error)}: {error.message}"), TEXT_LIMIT),
        detail=clipped(visible("\n".join(lines), keep="\n"), TEXT_LIMIT),
    )
