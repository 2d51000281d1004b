"""All files of a run: processed in parallel, each with exactly one outcome, even when the run is cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Protocol

from kspsign.authenticode.formats import SIGNED_AFTER_OTHERS
from kspsign.batch.guard import guarded
from kspsign.batch.kept import Keeper
from kspsign.batch.outcomes import failed, not_replaced
from kspsign.batch.run import Run
from kspsign.concurrency.ready_queue import ReadyQueue
from kspsign.concurrency.workers import Workers
from kspsign.model.errors import CancelledError
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact
from kspsign.publishing import Meter
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.signing.waits import Waits

ABANDON_SECONDS, LATE_SECONDS = 0.3, 0.1
"""The shares of the two seconds that a cancelled run has: for replacements under way, and for their outcomes."""


_name = attrgetter("name")
_WRITTEN = frozenset({"signed", "rebuilt"})


class Waiting(Protocol):
    """The services that files wait for."""

    @property
    def waits(self) -> Waits:
        """Just now."""


class Batch:
    """The files of `run`, whose outcomes go to its record and console as they are there.

    `heard` is called after each file.
    """

    def __init__(self, run: Run, services: Waiting | None = None, heard: Callable[[], None] | None = None) -> None:
        self._artifacts, self._record, self._console, self._shared = run.artifacts, run.record, run.console, run.shared
        self._services, self._heard, self._inside = services, heard, run.inside
        self._keeper = Keeper()
        self._meter = Meter(len(run.artifacts), sum(artifact.size for artifact in run.artifacts))
        run.record.matched = run.artifacts
        run.console.begin(run.settings.command, len(run.artifacts))

    def refuse(self, admit: Callable[[Artifact], None]) -> None:
        """Files for which `admit` raises have failed before any is worked on. Containers come after all that is in
        them, several at a time: their content is read."""
        nodes = self._inside.nodes if self._inside is not None else {}
        for artifact in self._artifacts:
            if self._shared.cancelled.is_set():
                return
            if artifact.name not in nodes and not self._is_duplicate(artifact):
                self._settled(guarded(artifact, self._shared, partial(admit, artifact)))
        containers = [artifact for artifact in self._artifacts if artifact.name in nodes]
        workers = Workers(
            lambda artifact: guarded(artifact, self._shared, partial(admit, artifact)),
            containers, len(containers), LOCAL_SLOTS, self._shared.cancelled,
        )  # fmt: skip
        for outcome in workers.results(self._tick):
            self._settled(outcome)

    def work(self, step: Callable[[Artifact], FileOutcome], jobs: int) -> None:
        """`step` for every file that has no outcome yet, at most `jobs` at a time; see `guarded`. Files that state
        hashes of others follow these."""
        shared, inside = self._shared, self._inside
        started = self._record.started.replace(microsecond=0).timestamp()

        def whole(artifact: Artifact) -> FileOutcome:
            began = round(time.time() - started, 3)
            outcome = replace(guarded(artifact, shared, lambda: step(artifact)), began=began)
            if inside is not None:
                inside.settle(outcome)
            if artifact.name in listed:
                self._record.listed[artifact.name] = outcome
            queue.done(artifact.name)
            return outcome

        outcomes = self._record.outcomes
        left = [item for item in self._artifacts if item.name not in outcomes and not self._is_duplicate(item)]
        stating = _stating_files(left)
        listed = frozenset[str]().union(*stating.values())
        waits_for: dict[Hashable, Collection[Hashable]] = dict(stating.items())
        if inside is not None:
            waits_for.update(inside.dependencies)
        queue = ReadyQueue(left, _name, waits_for, shared.cancelled)
        workers = Workers(whole, queue, len(left), jobs, shared.cancelled)
        for outcome in workers.results(self._tick):
            self._settle(outcome)
        if shared.cancelled.is_set():
            replaced = shared.targets.abandon(ABANDON_SECONDS)
            for outcome in workers.late(LATE_SECONDS):
                self._settle(outcome)
            if replaced - self._record.outcomes.keys():
                for outcome in workers.late(ABANDON_SECONDS):
                    self._settle(outcome)
            self._give_up()
        self._withdraw()
        self._tick()

    def _give_up(self) -> None:
        """A file without an outcome by now was not tried, or is abandoned: its bytes stay."""
        for artifact in self._artifacts:
            if artifact.name not in self._record.outcomes:
                self._settle(failed(artifact, CancelledError()))

    def _withdraw(self) -> None:
        """A file that was signed for a container which keeps its bytes is not signed there: its row says so."""
        if self._inside is None:
            return
        outcomes, outer = self._record.outcomes, {artifact.name: artifact.container for artifact in self._artifacts}
        for artifact in self._artifacts:
            root = artifact.name
            while (container := outer[root]) is not None:
                root = container
            outcome = outcomes[artifact.name]
            if root != artifact.name and outcomes[root].error is not None and outcome.outcome in _WRITTEN:
                outcomes[artifact.name] = not_replaced(outcome, root)

    def _is_duplicate(self, artifact: Artifact) -> bool:
        return self._inside is not None and self._inside.is_duplicate(artifact)

    def _settled(self, outcome: FileOutcome | None) -> None:
        """What `admit` came to: nothing, or a failure that the containers of the file have to know of."""
        if outcome is not None:
            if self._inside is not None:
                self._inside.settle(outcome)
            self._settle(outcome)

    def _settle(self, outcome: FileOutcome) -> None:
        for row in (outcome,) if self._inside is None else self._inside.rows(outcome):
            self._add(row)

    def _add(self, outcome: FileOutcome) -> None:
        self._record.outcomes[outcome.path] = self._keeper.kept(outcome)
        if outcome.tried:
            self._meter.add(outcome.size)
        self._console.file_done(outcome, len(self._record.outcomes), len(self._artifacts))
        if self._heard is not None:
            self._heard()

    def _tick(self) -> None:
        waits = self._services.waits if self._services is not None else Waits()
        named = (("key store", waits.key_store), ("timestamp server", waits.timestamp))
        self._console.progress(lambda: self._meter.read(tuple(pair for pair in named if pair[1])))


def _stating_files(artifacts: Sequence[Artifact]) -> Mapping[str, frozenset[str]]:
    """For each file that states hashes of others, the names of those that it lists."""
    if not any(artifact.format in SIGNED_AFTER_OTHERS for artifact in artifacts):
        return {}
    from kspsign.batch.references import stating_files  # noqa: PLC0415 - few runs have such files

    return stating_files(artifacts)
