"""The work of a run: its policy, and the matching files or its slice of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kspsign.authenticode.formats import SIGNED_AFTER_OTHERS
from kspsign.batch.cautions import clickonce_warnings, selection_warnings
from kspsign.batch.outputs import check_artifacts, check_outputs, inputs_of, outputs_of, state_folders
from kspsign.batch.run import OutputState, Run
from kspsign.batch.select import LEFTOVER, Selection, SelectionPurpose, select_artifacts
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.errors import ConfigurationError
from kspsign.model.plurals import count
from kspsign.model.report import LeftOut
from kspsign.model.values import COPY_PREFIX, Artifact
from kspsign.settings.commands import JUDGING_COMMANDS
from kspsign.signing.leftovers import is_in_use, remove_leftovers
from kspsign.verifying import open_policy

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge

_NAMED = 5
_LOOKING_INSIDE = frozenset({"run", "sign", "verify"})
_KEEPING_STATE = frozenset({"run", "sign"})
"""Commands that write to the thumbprint store and the journal."""


def with_policy(run: Run) -> Run:
    """The run with what judges its files by --policy, if that is given."""
    judge = open_policy(run.settings)
    if judge is None:
        return run
    run.record.policy = judge.facts
    run.console.notice(f"policy {judge.facts.name} (sha256 {judge.facts.sha256})")
    return run._replace(judge=judge)


def select(run: Run) -> Run:
    """The run with the files that it takes: all that match, or its slice of them, which may be empty. What killed runs
    left next to files that are to be signed or stamped is removed first.

    Raises NoFilesMatchedError, ConfigurationError for a slice that there is not, and CancelledError: a large tree
    takes a while.
    """
    settings, record, console = run.settings, run.record, run.console
    selection = _without_leftovers(run, matched(run, _purpose(settings.command, run.judge)))
    record.left_out = selection.left_out
    for line in _left_out_lines(selection.left_out):
        console.notice(line)
    for pattern in selection.in_other_case:
        console.notice(f"the pattern {pattern} also takes names in other case: case is ignored where files are judged")
    run.warn(selection_warnings(selection))
    if settings.command in _KEEPING_STATE:
        run.warn(clickonce_warnings(selection.artifacts))
    artifacts = selection.artifacts
    if settings.slice is not None:
        from kspsign.batch.slices import slice_of, take_slice  # noqa: PLC0415 - most runs take all files

        _check_dividable(settings.command, artifacts)
        record.slice, artifacts = take_slice(artifacts, *slice_of(settings.slice, run.context.parallel))
        part = f"slice {record.slice.number} of {record.slice.total}"
        taken = (
            f"{part}: {len(artifacts)} of {count(len(selection.artifacts), 'file')}"
            if artifacts
            else f"{part} is empty"
        )
        console.notice(taken)
    entered = _with_inside(run._replace(artifacts=artifacts), selection.artifacts)
    if run.judge is not None:
        inside = (artifact for artifact in entered.artifacts if artifact.container is not None)
        names = [name for artifact in (*selection.artifacts, *inside) for name in artifact.names]
        elsewhere = entered.inside.elsewhere if entered.inside is not None else ()
        record.missing = run.judge.missing((*names, *elsewhere))
    return _with_artifacts(entered, entered.artifacts)


def _with_inside(run: Run, everything: Sequence[Artifact]) -> Run:
    """The run with what is inside its containers, where settings or policy ask for that."""
    if not _looks_inside(run):
        return run
    from kspsign.batch.inside.enter import with_inside  # noqa: PLC0415 - few runs look inside

    return with_inside(run, everything)


def _looks_inside(run: Run) -> bool:
    demanded = run.judge is not None and run.judge.inside_required
    return bool(run.settings.inside or demanded) and run.settings.command in _LOOKING_INSIDE


def _check_dividable(command: str, artifacts: Sequence[Artifact]) -> None:
    """Raise ConfigurationError when a file to be signed states hashes of others, which another job would sign."""
    stating = next((file.name for file in artifacts if file.to_sign and file.format in SIGNED_AFTER_OTHERS), None)
    if command in _KEEPING_STATE and stating is not None:
        raise ConfigurationError(
            f"slices can't share {stating} and the files that it lists: it states the hashes that signing gives them",
            remedy="Sign published ClickOnce and VSTO folders in a job without slice; exclude them here (!PATTERN).",
        )


def _with_artifacts(run: Run, artifacts: tuple[Artifact, ...]) -> Run:
    sizes = Counter(artifact.size for artifact in artifacts)
    repeated = frozenset(size for size, number in sizes.items() if number > 1)
    return run._replace(artifacts=artifacts, shared=run.shared._replace(repeated_sizes=repeated))


def take(run: Run, artifacts: tuple[Artifact, ...]) -> Run:
    """The run with these files, as `select` gives it those that its patterns match.

    Raises ConfigurationError for an output that is one of them.
    """
    _admit(run, artifacts)
    return _with_artifacts(run, _without_leftovers(run, Selection(artifacts, ())).artifacts)


def matched(run: Run, purpose: SelectionPurpose) -> Selection:
    """What the patterns match; none of it may be a file that the run writes.

    Raises what `select` does, ConfigurationError for an output that is one of them.
    """
    settings, admit = run.settings, partial(_admit, run)
    holds: Callable[[Artifact], bool] | None = None
    if _looks_inside(run):
        from kspsign.batch.inside.enter import holds_selected  # noqa: PLC0415 - few runs look inside

        holds = holds_selected(settings, run.judge)
    return interruptible(
        lambda: select_artifacts(settings.files, settings.folder, purpose, admit=admit, holds=holds), run.cancelled
    )


def _admit(run: Run, artifacts: Sequence[Artifact]) -> None:
    settings, record = run.settings, run.record
    record.outputs = OutputState.REFUSED
    folders = state_folders(settings) if settings.command in _KEEPING_STATE else {}
    check_artifacts(outputs_of(settings, run.context), folders, artifacts)
    record.outputs = OutputState.FREE


def admit_outputs(run: Run) -> None:
    """Hold the files to be written against the other files that the settings name, before any file is looked for.

    Raises ConfigurationError, and PrerequisiteError where the HTML page can't be made; the run then writes none of
    them.
    """
    run.record.outputs = OutputState.REFUSED
    if run.settings.html is not None:
        from kspsign.publishing.page import page_template  # noqa: PLC0415 - few runs write the page

        page_template()
    check_outputs(outputs_of(run.settings, run.context), inputs_of(run.settings, run.settings.store_options))
    run.record.outputs = OutputState.UNCHECKED


def _without_leftovers(run: Run, selection: Selection) -> Selection:
    """The selection after the copies are removed that killed runs left; a dry run removes nothing. A name like theirs
    that is still there is judged as any other, unless a run is writing it."""
    if run.settings.command in JUDGING_COMMANDS:
        return selection
    dry_run = run.settings.dry_run
    folders = {os.path.dirname(artifact.real) for artifact in selection.artifacts}  # noqa: PTH120 - few folders of many
    removed = 0 if dry_run else remove_leftovers(map(Path, folders))
    if removed:
        run.console.notice(f"removed signed copies left by a killed run: {removed}")
    artifacts, left_out = [], list(selection.left_out)
    for artifact in selection.artifacts:
        if artifact.to_sign or not artifact.real.rpartition(os.sep)[2].startswith(COPY_PREFIX):
            artifacts.append(artifact)
        elif dry_run or is_in_use(artifact.path):
            left_out.append(LeftOut(artifact.name, LEFTOVER))
        elif artifact.path.exists():
            artifacts.append(artifact)
    return selection._replace(artifacts=tuple(artifacts), left_out=tuple(left_out))


def _purpose(command: str, judge: Judge | None) -> SelectionPurpose:
    if command in {"verify", "catalog"}:
        return SelectionPurpose.JUDGE
    return SelectionPurpose.SIGN if judge is None else SelectionPurpose.SIGN_AND_JUDGE


def _left_out_lines(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """The files left out on purpose, by reason, with the first names."""
    by_reason: dict[str, list[str]] = {}
    for out in left_out:
        by_reason.setdefault(out.reason, []).append(out.path)
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        yield f"left out ({reason}): {', '.join(paths[:_NAMED])}{more}"
