"""The path of every artifact: certsync -> sign -> verify -> publish."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kspsign.batch.finish import finished
from kspsign.batch.one_artifact import Signing, admit_one, plan_one, sign_one, timestamp_one, verify_one
from kspsign.batch.outcomes import RunRecord, make_report
from kspsign.batch.slices import share
from kspsign.batch.work import Batch
from kspsign.batch.work_list import select
from kspsign.certsync import certificate_facts, synchronise
from kspsign.concurrency.cancellation import entered, interruptible
from kspsign.model.errors import CancelledError, KspSignError, PrerequisiteError, TrustError
from kspsign.model.report import Report
from kspsign.model.values import Artifact, SyncedCertificate
from kspsign.programs import in_temp_folder
from kspsign.publishing import Console
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from kspsign.signing import (
    LOCAL_SLOTS,
    CircuitBreaker,
    SharedState,
    open_engine,
    open_planner,
    open_timestamper,
    remove_leftovers,
)
from kspsign.verifying import Verifier, open_policy, open_second_opinion, open_verifier

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge


def run(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """certsync -> sign -> verify -> publish. Never raises for what a file holds; see the report's exit code."""
    record = RunRecord(settings, context)
    ready = in_temp_folder(settings, context.temp_folder)
    with _stopping_errors(record, console, cancelled):
        judge = _policy(record, console)
        artifacts = select(record, console, cancelled, judge)
        if record.missing is not None:
            raise record.missing
        if artifacts:
            _clean_up(artifacts, settings, console)
            sizes = Counter(each.size for each in artifacts)
            shared = SharedState(
                cancelled,
                frozenset(size for size, number in sizes.items() if number > 1),
                CircuitBreaker(fail_fast=settings.fail_fast),
            )
            budget = {"max_signatures": share(settings.max_signatures, record.slice)}
            _work_on(ready.model_copy(update=budget), artifacts, judge, record, console, shared)
            shared.breaker.end(record.left)
    return _published(record, context, console, cancelled)


def _work_on(
    ready: Settings,
    artifacts: Sequence[Artifact],
    judge: Judge | None,
    record: RunRecord,
    console: Console,
    shared: SharedState,
) -> None:
    cancelled = shared.cancelled
    certificate = interruptible(lambda: synchronise(ready, console.notice, cancelled), cancelled)
    _present(certificate, record, console)
    ours = open_verifier(ready, certificate, judge)
    _check_certificate(ours, certificate)
    with entered(open_second_opinion(ready, certificate, cancelled), cancelled) as second:
        signing = Signing(ready, certificate, replace(ours, second=second), shared)
        (_plan_all if ready.dry_run else _sign_all)(signing, artifacts, record, console)


def _sign_all(signing: Signing, artifacts: Sequence[Artifact], record: RunRecord, console: Console) -> None:
    shared = signing.shared
    with entered(open_engine(signing.settings, signing.certificate, shared), shared.cancelled) as engine:
        record.engine = engine.name
        if engine.tool is not None:
            console.notice(f"engine {engine.name}: {engine.tool}")

        def heard() -> None:
            for line in (line for text in engine.transcripts() for line in text.splitlines() if line.strip()):
                console.notice(f"    {engine.name}: {line}")

        batch = Batch(artifacts, record, console, shared, engine, heard if signing.settings.verbose else None)
        try:
            batch.refuse(lambda artifact: admit_one(artifact, signing, engine))
            batch.work(lambda artifact: sign_one(artifact, signing, engine), engine.concurrency)
        finally:
            record.signatures_used, record.limits = engine.signatures_used, engine.limits
            for remark in engine.remarks():
                console.notice(remark)


def _plan_all(signing: Signing, artifacts: Sequence[Artifact], record: RunRecord, console: Console) -> None:
    with open_planner(signing.settings, signing.certificate) as planner:
        batch = Batch(artifacts, record, console, signing.shared)
        batch.work(lambda artifact: plan_one(artifact, signing, planner), LOCAL_SLOTS)
        record.signatures_needed = planner.budget.spent


def verify(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Strict verification alone: every matched file with its verdict."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled):
        judge = _policy(record, console)
        artifacts = select(record, console, cancelled, judge)
        with entered(open_second_opinion(settings, None, cancelled), cancelled) as second:
            verifier = replace(open_verifier(settings, None, judge), second=second)
            batch = Batch(artifacts, record, console, SharedState(cancelled))
            batch.work(lambda artifact: verify_one(artifact, verifier), LOCAL_SLOTS)
        if record.missing is not None:
            raise record.missing
    return _published(record, context, console, cancelled)


def certsync(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Stage 1 alone: the certificate is brought to this agent."""
    record = RunRecord(settings, context)
    ready = in_temp_folder(settings, context.temp_folder)
    with _stopping_errors(record, console, cancelled):
        _present(interruptible(lambda: synchronise(ready, console.notice, cancelled), cancelled), record, console)
    return _published(record, context, console, cancelled)


def timestamp(settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Report:
    """Timestamps for signatures that lack one; costs no signature of a key store."""
    record = RunRecord(settings, context)
    with _stopping_errors(record, console, cancelled):
        artifacts = select(record, console, cancelled)
        _clean_up(artifacts, settings, console)
        verifier = open_verifier(settings, None)
        shared = SharedState(cancelled, breaker=CircuitBreaker(fail_fast=settings.fail_fast))
        with open_timestamper(settings, shared) as timestamper:
            batch = Batch(artifacts, record, console, shared, timestamper)
            batch.work(
                lambda artifact: timestamp_one(artifact, timestamper, verifier, shared.targets), timestamper.concurrency
            )
            record.limits = timestamper.limits
        shared.breaker.end(record.left)
    return _published(record, context, console, cancelled)


def _clean_up(artifacts: Sequence[Artifact], settings: Settings, console: Console) -> None:
    """Remove what killed runs left beside the targets."""
    if settings.dry_run:
        return
    removed = remove_leftovers({each.path.parent for each in artifacts})
    if removed:
        console.notice(f"removed what a run that was killed left beside the files: {removed}")


def _policy(record: RunRecord, console: Console) -> Judge | None:
    """What judges the files by --policy; None without."""
    judge = open_policy(record.settings)
    if judge is not None:
        record.policy = judge.facts
        console.notice(f"policy {judge.facts.name} (sha256 {judge.facts.sha256})")
    return judge


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
