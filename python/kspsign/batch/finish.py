"""Stage 4: the report of a run goes to the console, the pipeline and the files that were asked for."""

from __future__ import annotations

from functools import partial

from kspsign.batch.run import Run
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.errors import KspSignError
from kspsign.model.report import Report
from kspsign.publishing import is_proving, publish, publish_evidence, without_evidence


def finished(run: Run, report: Report) -> Report:
    """Stage 4 for `report`: finish the console and write the records; returns the final report."""
    settings, context, cancelled = run.settings, run.context, run.cancelled
    in_service = False
    if settings.publish_token is not None and is_proving(report) and not cancelled.is_set():
        try:
            token = settings.publish_token
            leave = partial(publish_evidence, report, context, token, settings.network, cancelled.wait)
            interruptible(leave, cancelled)
            in_service = True
        except KspSignError as error:
            report = without_evidence(report, error)
    run.console.finish(report)
    publish(
        report,
        files=settings.output_files,
        context=context,
        stream=None,
        in_service=in_service,
    )
    return report
