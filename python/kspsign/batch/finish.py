"""Stage 4: the report of a run goes to the console, the pipeline and the files that were asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kspsign.batch.ledger import ledger_warnings
from kspsign.batch.outcomes import make_report
from kspsign.batch.outputs import may_be_written_unchecked
from kspsign.batch.run import OutputState, Run
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.errors import KspSignError
from kspsign.model.report import Report
from kspsign.publishing import is_proving, without_evidence, write_records
from kspsign.publishing.setting_words import in_words
from kspsign.settings.model import STANDARD_OUTPUT


def publish(run: Run) -> Report:
    """Stage 4: the report, on every surface that was asked for."""
    run.warn(ledger_warnings(run))
    report = make_report(run)
    if report.trust is not None:
        run.names_roots("chains end in", [root for root in report.trust.used if root not in report.trust.named])
    return finished(run, report)


def finished(run: Run, report: Report) -> Report:
    """Stage 4 for `report`: finish the console and write the records; returns the final report."""
    settings, context, cancelled = run.settings, run.context, run.cancelled
    in_service = False
    report = in_words(report, run.words)
    if settings.publish_token is not None and is_proving(report) and not cancelled.is_set():
        from kspsign.publishing.evidence import publish_evidence  # noqa: PLC0415 - it brings Azure DevOps' client

        try:
            token = settings.publish_token
            leave = partial(publish_evidence, report, context, token, settings.network, cancelled.wait)
            interruptible(leave, cancelled)
            in_service = True
        except KspSignError as error:
            report = in_words(without_evidence(report, error), run.words)
    ledgers = run.record.ledgers
    refused = run.record.outputs is OutputState.REFUSED
    run.console.finish(report)
    write_records(
        report,
        files={name: path for name, path in settings.output_files.items() if _writable(run, path)},
        context=context._replace(step_files=None) if refused else context,
        stream=None,
        in_service=in_service,
        ledger=ledgers.attached.path if ledgers is not None and ledgers.attached is not None else None,
    )
    return report


def _writable(run: Run, path: Path) -> bool:
    """Whether `path` is surely none of the files that the run was to work on."""
    if path == STANDARD_OUTPUT:
        return True
    state = run.record.outputs
    if state is OutputState.FREE or (state is OutputState.UNCHECKED and may_be_written_unchecked(path)):
        return True
    run.console.notice(f"{path} is not written: it is, or may be, one of the files to work on")
    return False
