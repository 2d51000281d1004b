"""Adds what is inside the containers of a run to its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kspsign.batch.inside.extract import Extractor
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.batch.inside.opener import Opened, Opener
from kspsign.batch.inside.patterns import EVERYTHING, InsidePatterns
from kspsign.batch.inside.tree import Inside
from kspsign.concurrency.workers import Workers
from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.model.report import RunWarning
from kspsign.model.run_facts import InsideFacts
from kspsign.model.values import Artifact
from kspsign.publishing.wording import count
from kspsign.signing.shared_state import LOCAL_SLOTS

if TYPE_CHECKING:
    from kspsign.batch.run import Run

_NAMED = 5


def with_inside(run: Run) -> Run:
    """The run with the selected files inside its containers, sorted by name among the others.

    Raises ConfigurationError for a wrong pattern, and for one that names a single file which is not there;
    PrerequisiteError, CancelledError.
    """
    settings, judge = run.settings, run.judge
    patterns = InsidePatterns(settings.inside)
    demanded = judge is not None and judge.inside_required
    folder = run.open(PrivateFolder(settings.temp_folder))
    signs = settings.command != "verify"
    opener = Opener(Extractor(folder), patterns, judge, demanded=demanded, signs=signs, replaces=settings.replace)
    opened = _opened(run, opener)
    artifacts = tuple(artifact for outer in opened for level in outer.below() for artifact in level.artifacts)
    duplicates = _duplicates(artifacts) if judge is None else {}
    _account(run, patterns, opened)
    return run._replace(
        artifacts=tuple(sorted((*run.artifacts, *artifacts), key=lambda artifact: artifact.name)),
        inside=_tree(opener, opened, artifacts, duplicates),
    )


def holds_selected(run: Run) -> Callable[[Artifact], bool]:
    """Says of an archive without a place for a signature whether it holds selected files: nothing else makes it
    one to work on, in a folder. Archives are opened to the same depth as later."""
    settings, judge = run.settings, run.judge
    patterns = InsidePatterns(settings.inside)
    demanded = judge is not None and judge.inside_required

    def holds(artifact: Artifact) -> bool:
        if not (artifact.readable and (demanded or patterns.reaches_into(artifact.name))):
            return False
        with PrivateFolder(settings.temp_folder) as folder:
            opener = Opener(Extractor(folder), patterns, judge, demanded=demanded, signs=False, replaces=False)
            opened = opener.open(artifact)
        return opened is not None and (bool(opened.node.members) or opened.node.error is not None)

    return holds


def _opened(run: Run, opener: Opener) -> list[Opened]:
    """Every container among the files, in their order."""
    workers = Workers(opener.open, run.artifacts, len(run.artifacts), LOCAL_SLOTS, run.cancelled)
    found = {opened.node.artifact.name: opened for opened in workers.results(_nothing) if opened is not None}
    if run.cancelled.is_set():
        raise CancelledError
    return [found[artifact.name] for artifact in run.artifacts if artifact.name in found]


def _nothing() -> None:
    """No progress is shown while containers are opened."""


def _duplicates(artifacts: Iterable[Artifact]) -> dict[str, tuple[Artifact, ...]]:
    """For the first file of each private copy the others that have it."""
    first: dict[str, Artifact] = {}
    others: dict[str, tuple[Artifact, ...]] = {}
    for artifact in artifacts:
        original = first.setdefault(artifact.real, artifact)
        if original is not artifact:
            others[original.name] = (*others.get(original.name, ()), artifact)
    return others


def _tree(
    opener: Opener, opened: Sequence[Opened], artifacts: Sequence[Artifact], duplicates: dict[str, tuple[Artifact, ...]]
) -> Inside:
    worked_on = {duplicate.name: name for name, others in duplicates.items() for duplicate in others}
    below = [level for outer in opened for level in outer.below()]
    nodes = {
        level.node.artifact.name: replace(
            level.node,
            members=tuple(
                member._replace(worked_on=worked_on.get(member.worked_on, member.worked_on))
                for member in level.node.members
            ),
        )
        for level in below
        if level.node.members or level.node.error is not None
    }
    paths = {artifact.name: artifact.path for artifact in artifacts if artifact.name not in worked_on}
    unopened = {name: InsideFacts(0, not_opened=what) for name, what in opener.unopened.items()}
    facts = {**unopened, **{level.node.artifact.name: level.facts for level in below}}
    return Inside(opener.extractor.folder, nodes, paths, duplicates, facts)


def _account(run: Run, patterns: InsidePatterns, opened: Sequence[Opened]) -> None:
    """Say how much is inside, and which patterns nothing matched."""
    facts = [level.facts for outer in opened for level in outer.below()]
    if facts:
        run.console.notice(f"inside {count(len(facts), 'container')}: {', '.join(_counts(facts))}")
    missing = patterns.missing
    if missing and run.record.slice is None:
        raise ConfigurationError(
            f"--inside names {', '.join(missing[:_NAMED])}, which is in no container that the patterns match",
            code="PATTERN",
            remedy="Write the container's name as the report does, a slash, and the path in it: drop/app.msix/app.exe.",
        )
    run.warn(_idle_warnings([pattern for pattern in patterns.idle if pattern != EVERYTHING]))


def _counts(facts: Sequence[InsideFacts]) -> Iterator[str]:
    yield count(sum(inside.files for inside in facts), "file")
    if not_matched := sum(inside.not_matched for inside in facts):
        yield f"{not_matched} not named by --inside"
    if not_signable := sum(inside.not_signable for inside in facts):
        yield f"{not_signable} of no signable format"


def _idle_warnings(idle: Sequence[str]) -> Iterator[RunWarning]:
    if idle:
        yield RunWarning(
            "INSIDE_UNMATCHED",
            f"nothing inside a container matches {', '.join(idle[:_NAMED])}",
            "Check the pattern: it begins with the container's name as in the report, or with **/.",
        )
