"""Decides on builds: their verdicts, their steps, the downloaded files; waits while a result is still pending."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from kspsign.azure_devops import VERDICT_TYPE, AzureDevOps, Timeline, TimelineRecord, open_client
from kspsign.azure_devops.errors import NOT_FOUND, TRANSIENT
from kspsign.batch.cautions import selection_warnings
from kspsign.batch.outputs import check_artifacts, check_outputs, inputs_of, outputs_of
from kspsign.batch.select import SelectionPurpose, select_artifacts
from kspsign.gate.downloads import files_check
from kspsign.gate.evidence import COMPLETED, SUCCEEDED, examine
from kspsign.gate.reporter import GateReporter
from kspsign.gate.settings import GateSettings
from kspsign.model.errors import CancelledError, ConfigurationError, GateRefusedError, PrerequisiteError
from kspsign.model.values import Check
from kspsign.network.trace import listening
from kspsign.settings.context import RunContext

POLL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's decision on one build. `pending` is a refusal that may change while the build is running; `proved` are
    the files of each of its reports: sha256 by path."""

    build_id: int
    checks: tuple[Check, ...]
    pending: bool
    proved: tuple[dict[str, str], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


def run_gate(
    settings: GateSettings,
    context: RunContext,
    *,
    pause: Callable[[float], bool],
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Decide, report, and return 0. Raises GateRefusedError for a no, PrerequisiteError when Azure DevOps can't be
    asked.

    `pause` waits the seconds, and says whether the run was cancelled meanwhile.
    """
    outputs = outputs_of(settings, context)
    check_outputs(outputs, inputs_of(settings))
    reporter = GateReporter(context, settings, stream)
    files, left_out = _digests(settings, outputs, reporter)
    with listening(reporter.trace if context.debug else None):
        client = open_client(
            settings.collection,
            settings.project,
            settings.token,
            network=settings.network,
            temp_folder=context.temp_folder,
            pause=pause,
        )
    with contextlib.closing(client):
        decisions = _settled(client, settings, reporter, pause, clock)
    beyond = (
        (files_check(files, [proved for decision in decisions for proved in decision.proved], left_out),)
        if settings.files
        else ()
    )
    results = [(f"build {decision.build_id}", decision.checks) for decision in decisions]
    if beyond:
        results.append(("downloaded files", beyond))
    refused = reporter.report(results)
    if refused:
        raise GateRefusedError("; ".join(refused))
    return 0


def decide(client: AzureDevOps, build_id: int, settings: GateSettings) -> Decision:
    """Every check of one build. What can't be found out is a check that did not pass, or an error."""
    try:
        build = client.build(build_id)
    except PrerequisiteError as error:
        if error.code != NOT_FOUND:
            raise
        return Decision(build_id, (Check("build", ok=False, detail=error.message),), pending=False)
    timeline = client.timeline(build_id)
    listed = client.attachments(build_id, VERDICT_TYPE)
    current = [
        attachment
        for attachment in listed
        if attachment.timeline_id == timeline.id and attachment.record_id in timeline.records
    ]
    checks = [
        Check("build", ok=True, detail=build.result or build.status),
        _attached(len(current), len(listed) - len(current), settings.verdicts),
    ]
    examined = [examine(client, build_id, attachment, timeline, settings) for attachment in current]
    checks += [check for verdict in examined for check in verdict.checks]
    ended = _ended_steps(timeline, settings.task_id)
    checks.append(_steps(ended))
    # Where anything has failed for good, so waiting is useless.
    waiting = len(current) < settings.verdicts or any(verdict.pending for verdict in examined)
    final = [check for verdict in examined if not verdict.pending for check in verdict.checks]
    hopeless = len(current) > settings.verdicts or not all(check.ok for check in final) or bool(_bad(ended))
    return Decision(
        build_id,
        tuple(checks),
        pending=build.running and waiting and not hopeless,
        proved=tuple(verdict.proved for verdict in examined),
    )


def _settled(
    client: AzureDevOps,
    settings: GateSettings,
    reporter: GateReporter,
    pause: Callable[[float], bool],
    clock: Callable[[], float],
) -> list[Decision]:
    """The decisions once nothing can change them any more, or the time is over."""
    deadline = clock() + settings.wait * 60
    while True:
        left = deadline - clock()
        try:
            decisions = [decide(client, build_id, settings) for build_id in dict.fromkeys(settings.build_id)]
        except PrerequisiteError as error:
            if error.code not in TRANSIENT or left <= 0:
                raise
            reporter.waiting(error.message)
        else:
            refused = [decision for decision in decisions if not decision.passed]
            if left <= 0 or not refused or not all(decision.pending for decision in refused):
                return decisions
            names = ", ".join(str(decision.build_id) for decision in refused)
            reporter.waiting(f"no final verdict yet of build {names}, {left / 60:.0f} min left")
        if pause(min(POLL_SECONDS, left)):
            raise CancelledError


def _attached(current: int, stale: int, wanted: int) -> Check:
    detail = f"{current} of {wanted}"
    if stale:
        detail += f"; {stale} of earlier attempts do not count"
    if current > wanted:
        detail += "; merge the jobs' verdicts into one, or state how many with --verdicts"
    return Check("verdicts", current == wanted, detail)


def _ended_steps(timeline: Timeline, task_id: str) -> list[TimelineRecord]:
    """Our own steps that ran; those still to come, in a later stage, say nothing yet."""
    ours = [record for record in timeline.records.values() if record.kind == "Task" and record.task_id == task_id]
    return [record for record in ours if record.state == COMPLETED and record.result != "skipped"]


def _bad(ended: Sequence[TimelineRecord]) -> list[str]:
    return [f"{job.name!r} has {job.result}" for job in ended if job.result != SUCCEEDED]


def _steps(ended: Sequence[TimelineRecord]) -> Check:
    """No step of ours may have ended badly: then some artifact is not proved, whatever the verdicts say."""
    detail = "; ".join(_bad(ended)) or f"KspSign steps that succeeded: {len(ended)}"
    return Check("steps", ok=bool(ended) and not _bad(ended), detail=detail)


def _digests(
    settings: GateSettings, outputs: Mapping[str, Path], reporter: GateReporter
) -> tuple[dict[str, str], tuple[str, ...]]:
    """SHA-256 of each downloaded file by the name shown, and what was left out, in words; none of them may be one of
    `outputs`. Patterns that change nothing are warned of.

    Raises NoFilesMatchedError when there is none, ConfigurationError for an output that is one.
    """
    if not settings.files:
        return {}, ()
    admit = partial(check_artifacts, outputs, {})
    selection = select_artifacts(settings.files, settings.folder, SelectionPurpose.JUDGE, admit=admit)
    for warning in selection_warnings(selection):
        reporter.warning(warning)
    digests = {artifact.name: _sha256(artifact.path) for artifact in selection.artifacts}
    return digests, tuple(f"{out.path} left out: {out.reason}" for out in selection.left_out)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as unreadable:
        raise ConfigurationError(
            f"can't be read: {unreadable}", remedy="Give this user read access.", file=str(path)
        ) from unreadable
