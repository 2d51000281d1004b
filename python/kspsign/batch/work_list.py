"""What a run takes on: the files that match or its slice of them, and its part of the budget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kspsign.batch.outcomes import RunRecord
from kspsign.batch.select import select_artifacts
from kspsign.batch.slices import slice_of, take_slice
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.values import Artifact
from kspsign.publishing import Console

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge


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
    record.slice, artifacts = take_slice(selection.artifacts, *slice_of(settings.slice, record.context))
    part = f"slice {record.slice.number} of {record.slice.total}"
    console.notice(f"{part}: {len(artifacts)} of {len(selection.artifacts)} files" if artifacts else f"{part} is empty")
    return artifacts
