"""The path of every artifact: certsync -> sign -> verify -> publish."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kspsign.artifacts import select_artifacts, take_slice
from kspsign.certsync import certificate_facts, synchronise
from kspsign.context import RunContext
from kspsign.errors import (
    CancelledError,
    ConfigurationError,
    KspSignError,
    PrerequisiteError,
    TrustError,
)
from kspsign.model import Artifact, FileOutcome, Report, SyncedCertificate
from kspsign.one_artifact import guarded, sign_one, timestamp_one, verify_one
from kspsign.outcomes import RunRecord, make_report
from kspsign.publishing import Console, is_proving, publish, publish_evidence
from kspsign.settings import Settings
from kspsign.signing import (
    Engine,
    in_parallel,
    open_engine,
    open_stamper,
)
from kspsign.tools import in_reach
from kspsign.verifying import Verifier, open_policy, open_second_opinion, open_verifier

if TYPE_CHECKING:
    from kspsign.verifying.policy.judging import Judge


def run(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """certsync -> sign -> verify -> publish. Never raises for what a file holds; see the report's exit code."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled), in_reach(settings, context.temp_folder) as ready:
        judge = _policy(record, console)
        artifacts = _select(record, console, judge)
        if record.missing is not None:
            raise record.missing
        if artifacts:
            _sign_all(ready, artifacts, judge, record, console, cancelled)
    return _published(record, context, console, cancelled)


def _sign_all(
    ready: Settings,
    artifacts: Sequence[Artifact],
    judge: Judge | None,
    record: RunRecord,
    console: Console,
    cancelled: threading.Event,
) -> None:
    certificate = synchronise(ready, console.notice, cancelled)
    _present(certificate, record, console)
    ours = open_verifier(ready, certificate, judge)
    _check_certificate(ours, certificate)
    with (
        open_second_opinion(ready, certificate, cancelled) as second,
        open_engine(ready, certificate, cancelled) as engine,
    ):
        verifier = replace(ours, second=second)
        record.engine = engine.name
        if engine.tool is not None:
            console.notice(f"engine {engine.name}: {engine.tool}")
        work = _signer(ready, engine, verifier, certificate, cancelled)
        _each(work, artifacts, record, console, engine)
        record.signatures_used = engine.signatures_used


def verify(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Strict verification alone: every matched file with its verdict."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled):
        judge = _policy(record, console)
        artifacts = _select(record, console, judge)
        with open_second_opinion(settings, None, cancelled) as second:
            verifier = replace(open_verifier(settings, None, judge), second=second)

            def work(artifact: Artifact) -> FileOutcome:
                return guarded(artifact, cancelled, lambda: verify_one(artifact, verifier))

            _each(work, artifacts, record, console)
        if record.missing is not None:
            raise record.missing
    return _published(record, context, console, cancelled)


def certsync(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Stage 1 alone: the certificate is brought to this agent."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled), in_reach(settings, context.temp_folder) as ready:
        _present(synchronise(ready, console.notice, cancelled), record, console)
    return _published(record, context, console, cancelled)


def timestamp(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Timestamps for signatures that lack one; costs no signature of a key store."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled):
        artifacts = _select(record, console)
        verifier = open_verifier(settings, None)
        with open_stamper(settings, cancelled) as stamper:

            def work(artifact: Artifact) -> FileOutcome:
                return guarded(artifact, cancelled, lambda: timestamp_one(artifact, stamper, verifier))

            _each(work, artifacts, record, console)
    return _published(record, context, console, cancelled)


def _signer(
    settings: Settings,
    engine: Engine,
    verifier: Verifier,
    certificate: SyncedCertificate,
    cancelled: threading.Event,
) -> Callable[[Artifact], FileOutcome]:
    def work(artifact: Artifact) -> FileOutcome:
        return guarded(artifact, cancelled, lambda: sign_one(artifact, settings, engine, verifier, certificate))

    return work


def _each(
    work: Callable[[Artifact], FileOutcome],
    artifacts: Sequence[Artifact],
    record: RunRecord,
    console: Console,
    engine: Engine | None = None,
) -> None:
    console.begin(record.settings.command, len(artifacts))
    record.matched = artifacts
    jobs = engine.concurrency if engine else record.settings.jobs
    for done, outcome in enumerate(in_parallel(work, artifacts, jobs), start=1):
        record.outcomes[outcome.path] = outcome
        console.file_done(outcome, done, len(artifacts))
        if engine is not None and record.settings.verbose:
            for line in (line for text in engine.transcripts() for line in text.splitlines() if line.strip()):
                console.notice(f"    {engine.name}: {line}")


def _policy(record: RunRecord, console: Console) -> Judge | None:
    """What judges the files by --policy; None without."""
    judge = open_policy(record.settings)
    if judge is not None:
        record.policy = judge.facts
        console.notice(f"policy {judge.facts.name} (sha256 {judge.facts.sha256})")
    return judge


def _select(record: RunRecord, console: Console, judge: Judge | None = None) -> tuple[Artifact, ...]:
    """The files that this run takes: all that match, or its slice of them, which may be empty."""
    settings = record.settings
    selection = select_artifacts(settings.files, settings.folder)
    if judge is not None:
        record.missing = judge.missing([each.name for each in selection.artifacts])
    for pattern in selection.unmatched:
        console.notice(f"the pattern {pattern} matches no file")
    if settings.slice is None:
        return selection.artifacts
    record.slice, artifacts = take_slice(selection.artifacts, *_slice(settings.slice, record.context))
    part = f"slice {record.slice.number} of {record.slice.total}"
    console.notice(f"{part}: {len(artifacts)} of {len(selection.artifacts)} files" if artifacts else f"{part} is empty")
    return artifacts


def _slice(asked: str, context: RunContext) -> tuple[int, int]:
    """Number and total of the slice that was asked for."""
    if asked == "auto":
        if context.parallel is None:
            raise ConfigurationError(
                "slice auto, but this is no job of a pipeline",
                remedy="Set `strategy: parallel` on the job, or name the slice: 2/5.",
            )
        return context.parallel
    number, total = map(int, asked.split("/"))
    if number > total:
        raise ConfigurationError(f"there is no slice {asked}", remedy="The number is at most the total: 2/5.")
    return number, total


def _present(certificate: SyncedCertificate, record: RunRecord, console: Console) -> None:
    record.certificate = certificate_facts(certificate)
    record.key_store, record.test_signing = certificate.key_store, certificate.test_signing
    console.certificate(record.certificate, key_store=certificate.key_store, test_signing=certificate.test_signing)


def _check_certificate(verifier: Verifier, certificate: SyncedCertificate) -> None:
    """Refuse a certificate that can't give a valid signature before a signature is spent."""
    try:
        verifier.check_certificate(certificate)
    except TrustError as fault:
        raise PrerequisiteError(
            f"the certificate {certificate.thumbprint} can't sign: {fault.message}",
            code=fault.code,
            remedy=fault.remedy,
            hresult=fault.hresult,
        ) from fault


@contextlib.contextmanager
def _stopping_errors(record: RunRecord, console: Console, cancelled: threading.Event) -> Iterator[None]:
    """An error before or between the files stops the run, and is part of its report."""
    try:
        yield
        if cancelled.is_set():
            raise CancelledError
    except KspSignError as error:
        record.error = error
        console.failed(error)


def _published(record: RunRecord, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    return finished(make_report(record), record.settings, context, console, cancelled)


def finished(
    report: Report, settings: Settings, context: RunContext, console: Console, cancelled: threading.Event
) -> Report:
    """Stage 4 for `report`: the console's last words and the records; the report as it then stands."""
    in_service = False
    if settings.publish_token is not None and is_proving(report) and not cancelled.is_set():
        report, in_service = publish_evidence(report, context, settings.publish_token, cancelled.wait)
    console.finish(report)
    publish(
        report,
        report_file=settings.report,
        junit=settings.junit,
        summary=settings.summary,
        context=context,
        stream=None,
        in_service=in_service,
    )
    return report
