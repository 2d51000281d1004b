"""The path of every artifact: certsync -> sign -> verify -> publish."""

from __future__ import annotations

from kspsign.batch.finish import publish
from kspsign.batch.run import Run
from kspsign.batch.stages import certsync, sign, verify
from kspsign.batch.work_list import admit_outputs, select, with_policy
from kspsign.model.report import Report


def run(run: Run) -> Report:
    """certsync -> sign -> verify -> publish. Never raises for what a file holds; see the report's exit code."""
    with run.to_its_end():
        files = files_to_sign(run)
        if files.artifacts:
            key = certsync(files)
            copies = sign(files, key)
            verify(files, copies)
    return publish(run)


def files_to_sign(run: Run) -> Run:
    """The run with the files that it takes; raises PolicyError when one is missing."""
    admit_outputs(run)
    files = select(with_policy(run))
    if run.record.missing is not None:
        raise run.record.missing
    return files
