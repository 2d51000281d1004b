"""The path of every artifact: certsync -> sign -> verify -> publish."""

from __future__ import annotations

from collections.abc import Callable

from kspsign.batch.finish import publish
from kspsign.batch.run import Run
from kspsign.batch.stages import certsync, sign, verify
from kspsign.batch.work_list import admit_outputs, select, with_policy
from kspsign.model.report import Report


def run(run: Run, chosen: Callable[[Run], Run] | None = None) -> Report:
    """certsync -> sign -> verify -> publish. Never raises for what a file holds; see the report's exit code.

    `chosen` gives the run its files where they are not those that its patterns select.
    """
    with run.to_its_end():
        files = (chosen or files_to_sign)(run)
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
