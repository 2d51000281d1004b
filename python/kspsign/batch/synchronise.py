"""Stage 1 alone: what `kspsign certsync` does."""

from __future__ import annotations

from kspsign.batch.finish import publish
from kspsign.batch.run import OutputState, Run
from kspsign.batch.stages import present
from kspsign.batch.work_list import admit_outputs
from kspsign.certsync import synchronise
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.report import Report


def synchronise_certificate(run: Run) -> Report:
    """Stage 1 alone: the certificate is brought to this agent."""
    with run.to_its_end():
        admit_outputs(run)
        run.record.outputs = OutputState.FREE  # it works on no file
        present(run, interruptible(lambda: synchronise(run.settings, run.hear, run.cancelled), run.cancelled))
    return publish(run)
