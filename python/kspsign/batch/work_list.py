"""What a run takes on: the files that match or its slice of them, and its part of the budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kspsign.batch.outcomes import RunRecord
from kspsign.batch.select import Purpose, select_artifacts
from kspsign.batch.slices import slice_of, take_slice
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.report import LeftOut
from kspsign.model.values import Artifact
from kspsign.publishing import Console

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge

_NAMED = 5


def select(
    record: RunRecord, console: Console, cancelled: threading.Event, judge: Judge | None = None
) -> tuple[Artifact, ...]:
    """The files that this run takes: all that match, or its slice of them, which may be empty.

    Raises NoFilesMatchedError, ConfigurationError for a slice that there is not, and CancelledError: a large tree
    takes a while.
    """
    settings = record.settings
    purpose = _purpose(settings.command, judge)
    selection = interruptible(lambda: select_artifacts(settings.files, settings.folder, purpose), cancelled)
    record.left_out = selection.left_out
    for line in _left_out_lines(selection.left_out):
        console.notice(line)
    if judge is not None:
        record.missing = judge.missing([name for artifact in selection.artifacts for name in artifact.names])
    for pattern in selection.unmatched:
        console.notice(f"the pattern {pattern} matches no file")
    if settings.slice is None:
        return selection.artifacts
    record.slice, artifacts = take_slice(selection.artifacts, *slice_of(settings.slice, record.context))
    part = f"slice {record.slice.number} of {record.slice.total}"
    console.notice(f"{part}: {len(artifacts)} of {len(selection.artifacts)} files" if artifacts else f"{part} is empty")
    return artifacts


def _purpose(command: str, judge: Judge | None) -> Purpose:
    if command == "verify":
        return Purpose.JUDGE
    return Purpose.SIGN if judge is None else Purpose.SIGN_AND_JUDGE


def _left_out_lines(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """What was left out on purpose, by reason, with the first names."""
    by_reason: dict[str, list[str]] = {}
    for out in left_out:
        by_reason.setdefault(out.reason, []).append(out.path)
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        yield f"left out ({reason}): {', '.join(paths[:_NAMED])}{more}"
