"""What a run takes on: the files that match or its slice of them, and its part of the budget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kspsign.artifacts import select_artifacts, take_slice
from kspsign.context import RunContext
from kspsign.errors import ConfigurationError
from kspsign.interruption import interruptible
from kspsign.model import Artifact
from kspsign.outcomes import RunRecord
from kspsign.publishing import Console
from kspsign.report import SliceFacts

if TYPE_CHECKING:
    from kspsign.verifying.policy.judging import Judge


def select(
    record: RunRecord, console: Console, cancelled: threading.Event, judge: Judge | None = None
) -> tuple[Artifact, ...]:
    """The files that this run takes: all that match, or its slice of them, which may be empty.

    Raises NoFilesMatchedError, ConfigurationError for a slice that there is not, and CancelledError: a large tree
    takes a while.
    """
    settings = record.settings
    selection = interruptible(lambda: select_artifacts(settings.files, settings.folder), cancelled)
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


def share(signatures: int | None, part: SliceFacts | None) -> int | None:
    """What of a budget belongs to a slice: equal parts, the first slices get what is over."""
    if signatures is None or part is None:
        return signatures
    return signatures // part.total + (part.number <= signatures % part.total)


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
