"""Adds what is inside the containers of a run to its files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from kspsign.batch.inside.elsewhere import Elsewhere
from kspsign.batch.inside.extract import Extractor
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.batch.inside.opener import Opened, Opener
from kspsign.batch.inside.patterns import EVERYTHING, InsidePatterns
from kspsign.batch.inside.tree import Inside
from kspsign.concurrency.workers import Workers
from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.model.plurals import count
from kspsign.model.report import RunWarning
from kspsign.model.run_facts import InsideFacts
from kspsign.model.values import Artifact
from kspsign.signing.shared_state import LOCAL_SLOTS

if TYPE_CHECKING:
    from kspsign.batch.run import Run
    from kspsign.settings.model import Settings
    from kspsign.verifying.policy.judge import Judge

_NAMED = 5


class Entered(NamedTuple):
    """Files with what is inside the containers among them: `artifacts` are all, sorted by name."""

    artifacts: tuple[Artifact, ...]
    inside: Inside
    patterns: InsidePatterns
    facts: tuple[InsideFacts, ...]

    def check_patterns(self) -> None:
        """Raise ConfigurationError for a pattern that names a single file which is not there."""
        if missing := self.patterns.missing:
            raise ConfigurationError(
                f"--inside names {', '.join(missing[:_NAMED])}, which is in no container that the patterns match",
                code="PATTERN",
                remedy="Write the container's name as the report does, a slash, and the path in it: "
                "drop/app.msix/app.exe.",
            )


def with_inside(run: Run, everything: Sequence[Artifact]) -> Run:
    """The run with the selected files inside its containers, sorted by name among the others. `everything` are all
    files that match, of which the run may have a slice.

    Raises ConfigurationError for a wrong pattern, and for one that names a single file which is not there;
    PrerequisiteError, CancelledError.
    """
    folder = run.open(PrivateFolder(run.settings.temp_folder))
    entered = enter(run.artifacts, run.settings, run.judge, folder, run.cancelled, everything)
    if entered.facts:
        containers = count(len(entered.facts), "container")
        run.console.notice(f"inside {containers}: {', '.join(inside_counts(entered.facts))}")
    entered.check_patterns()
    run.warn(_idle_warnings([pattern for pattern in entered.patterns.idle if pattern != EVERYTHING]))
    return run._replace(artifacts=entered.artifacts, inside=entered.inside)


def enter(
    artifacts: Sequence[Artifact],
    settings: Settings,
    judge: Judge | None,
    folder: PrivateFolder,
    cancelled: threading.Event,
    everything: Sequence[Artifact] = (),
) -> Entered:
    """`artifacts` with the selected files inside them, which are taken out to `folder`. They may be a slice of
    `everything`: what patterns and policy name and is not in them is then looked for in the rest.

    Raises ConfigurationError for a wrong pattern, PrerequisiteError, CancelledError.
    """
    patterns = InsidePatterns(settings.inside)
    demanded = judge is not None and judge.inside_required
    signs = settings.command != "verify"

    def opener_in(folder: PrivateFolder) -> Opener:
        extractor = Extractor(folder)
        return Opener(extractor, patterns, judge, demanded=demanded, signs=signs, replaces=settings.replace)

    opener = opener_in(folder)
    opened = _opened(artifacts, opener, cancelled)
    levels = [level for outer in opened for level in outer.below()]
    found = tuple(artifact for level in levels for artifact in level.artifacts)
    duplicates = _duplicates(found) if judge is None else {}
    together = tuple(sorted((*artifacts, *found), key=lambda artifact: artifact.name))
    elsewhere: tuple[str, ...] = ()
    if len(everything) > len(artifacts):
        search = Elsewhere(opener_in, patterns, judge, settings.temp_folder)
        elsewhere = search.names(everything, together, cancelled)
    tree = _tree(opener, levels, found, duplicates, elsewhere)
    return Entered(together, tree, patterns, tuple(level.facts for level in levels))


def holds_selected(settings: Settings, judge: Judge | None) -> Callable[[Artifact], bool]:
    """Says of an archive without a place for a signature whether it holds selected files: nothing else makes it
    one to work on, in a folder. Archives are opened to the same depth as later."""
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


def _opened(artifacts: Sequence[Artifact], opener: Opener, cancelled: threading.Event) -> list[Opened]:
    """Every container among the files, in their order."""
    workers = Workers(opener.open, artifacts, len(artifacts), LOCAL_SLOTS, cancelled)
    found = {opened.node.artifact.name: opened for opened in workers.results(_nothing) if opened is not None}
    if cancelled.is_set():
        raise CancelledError
    return [found[artifact.name] for artifact in artifacts if artifact.name in found]


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
    opener: Opener,
    levels: Sequence[Opened],
    artifacts: Sequence[Artifact],
    duplicates: dict[str, tuple[Artifact, ...]],
    elsewhere: tuple[str, ...],
) -> Inside:
    worked_on = {duplicate.name: name for name, others in duplicates.items() for duplicate in others}
    nodes = {
        level.node.artifact.name: replace(
            level.node,
            members=tuple(
                member._replace(worked_on=worked_on.get(member.worked_on, member.worked_on))
                for member in level.node.members
            ),
        )
        for level in levels
        if level.node.members or level.node.error is not None
    }
    paths = {artifact.name: artifact.path for artifact in artifacts if artifact.name not in worked_on}
    unopened = {name: InsideFacts(0, not_opened=what) for name, what in opener.unopened.items()}
    facts = {**unopened, **{level.node.artifact.name: level.facts for level in levels}}
    return Inside(opener.extractor.folder, nodes, paths, duplicates, facts, elsewhere)


def inside_counts(facts: Sequence[InsideFacts]) -> Iterator[str]:
    """How many files containers hold, in words."""
    yield count(sum(inside.files for inside in facts), "file")
    if not_matched := sum(inside.not_matched for inside in facts):
        yield f"{not_matched} not named by --inside"
    if not_signable := sum(inside.not_signable for inside in facts):
        yield f"{not_signable} more of no signable format"


def _idle_warnings(idle: Sequence[str]) -> Iterator[RunWarning]:
    if idle:
        yield RunWarning(
            "INSIDE_UNMATCHED",
            f"nothing inside a container matches {', '.join(idle[:_NAMED])}",
            "Check the pattern: it begins with the container's name as in the report, or with **/.",
        )
