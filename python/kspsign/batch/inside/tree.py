"""The tree of a run's containers and what is in them, and what became of each file so far."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from kspsign.authenticode.containers.container import Container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.io.snapshot import DiskState
from kspsign.authenticode.signable import Digest
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.model.errors import CANCELLED, NOT_TRIED, HaltedError, KspSignError
from kspsign.model.report import FileOutcome
from kspsign.model.run_facts import InsideFacts
from kspsign.model.values import Artifact, ErrorFacts
from kspsign.signing.copies import SignedCopy

_CHANGED = frozenset({"signed", "rebuilt", "planned"})


class ContainerMember(NamedTuple):
    """A file in a container that has a row of its own: its entry there, and the name of the artifact that is worked on
    for it, which may be that of the same content elsewhere."""

    entry: str
    worked_on: str


@dataclass(frozen=True, slots=True)
class ContainerNode:
    """A container that was opened: what it is, the files in it that have rows, and its state when it was read; None
    only where it could not be. `sha256` is that of a file that has further names (hard links) and is to be signed.
    `error` is why what is inside can't be taken out. `opened` is the container as it was read, None where there are too
    many to keep."""

    artifact: Artifact
    kind: ContainerKind | None
    members: tuple[ContainerMember, ...] = ()
    state: DiskState | None = None
    sha256: str | None = None
    error: KspSignError | None = None
    opened: Container | None = field(default=None, repr=False)


class Settled(NamedTuple):
    """What became of a file: whether its content is new, its sha256 now, and its error."""

    changed: bool
    sha256: str | None
    error: ErrorFacts | None


@dataclass(slots=True)
class Inside:
    """The containers of a run by name (`nodes`), and `duplicates`: for a file that is worked on, further ones inside
    with the same content, which share its outcome. Safe to share between threads.

    `facts` are what the report says of each container. `elsewhere` are names of files inside the containers of other
    slices, as far as a rule asked for them.
    """

    folder: PrivateFolder
    nodes: Mapping[str, ContainerNode]
    paths: Mapping[str, Path]
    duplicates: Mapping[str, tuple[Artifact, ...]]
    facts: Mapping[str, InsideFacts]
    elsewhere: tuple[str, ...] = ()
    _parents: dict[str, list[str]] = field(default_factory=dict)
    _roots_left: dict[str, int] = field(default_factory=dict)
    _settled: dict[str, Settled] = field(default_factory=dict)
    _expected: set[str] = field(default_factory=set)
    _doomed: dict[str, str] = field(default_factory=dict)
    _copies: dict[str, SignedCopy] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for node in self.nodes.values():
            for name in {member.worked_on for member in node.members}:
                self._parents.setdefault(name, []).append(node.artifact.name)
        for node in self._roots():
            for name in self._below(node):
                self._roots_left[name] = self._roots_left.get(name, 0) + 1

    @property
    def dependencies(self) -> Mapping[Hashable, Collection[Hashable]]:
        """For each container the files that are worked on before it."""
        return {name: frozenset(member.worked_on for member in node.members) for name, node in self.nodes.items()}

    def is_duplicate(self, artifact: Artifact) -> bool:
        """Whether the artifact gets the outcome of another one."""
        return artifact.container is not None and artifact.name not in self.paths

    def rows(self, outcome: FileOutcome) -> Iterator[FileOutcome]:
        """The outcome with what is inside, and those of its duplicates: one for each row of the report."""
        node = self.nodes.get(outcome.path)
        format_ = outcome.format or (node.kind if node is not None else None)
        yield replace(outcome, format=format_, inside=self.facts.get(outcome.path))
        for duplicate in self.duplicates.get(outcome.path, ()):
            facts = self.facts.get(duplicate.name)
            yield replace(outcome, path=duplicate.name, container=duplicate.container, seconds={}, inside=facts)

    def settle(self, outcome: FileOutcome) -> None:
        """Keep what the containers of the file need to know; one that failed fails them."""
        self._settled[outcome.path] = Settled(outcome.outcome in _CHANGED, outcome.sha256_after, outcome.error)
        if outcome.error is not None:
            self._doom(outcome.path, outcome.path)

    def of(self, member: ContainerMember) -> Settled:
        """What became of a member that is done."""
        return self._settled[member.worked_on]

    def failed(self, node: ContainerNode) -> tuple[ContainerMember, ErrorFacts] | None:
        """The first file in the container that is known to have failed by itself; None when there is none. Files that
        were not tried say nothing of the cause."""
        for member in node.members:
            settled = self._settled.get(member.worked_on)
            if settled is not None and settled.error is not None and settled.error.code not in {NOT_TRIED, CANCELLED}:
                return member, settled.error
        return None

    def is_doomed(self, artifact: Artifact) -> bool:
        """Whether a file in the container is known to have failed."""
        return artifact.name in self._doomed

    def expect(self, artifact: Artifact) -> None:
        """The file is going to be signed."""
        self._expected.add(artifact.name)

    def expected(self, node: ContainerNode) -> tuple[str, ...]:
        """The entries of the container that are going to change."""
        return tuple(member.entry for member in node.members if self._is_expected(member.worked_on))

    def changed(self, node: ContainerNode) -> tuple[ContainerMember, ...]:
        """Those that have changed."""
        return tuple(member for member in node.members if self.of(member).changed)

    def check_needed(self, artifact: Artifact) -> None:
        """Raise HaltedError when every container that the file is in will fail: nothing is spent on it then."""
        if artifact.container is not None and not self._is_needed(artifact.name):
            reason = next(iter(self._reasons(artifact.name)), "another file in it failed")
            raise HaltedError(f"it was not tried: its container would not be replaced, since {reason} failed")

    def committed(self, artifact: Artifact, copy: SignedCopy) -> Iterator[SignedCopy]:
        """The signed copies whose signatures can't get lost any more, now that this one is in its place: a file inside
        is, once the last outermost container that holds it is."""
        with self._lock:
            if artifact.container is not None:
                small = Digest({}, "")  # what has to be known of it until then, and there may be many
                self._copies[artifact.name] = copy._replace(hashes=small, seconds={}, request_ids=())
                return
            yield copy
            for name in self._below(self.nodes[artifact.name]) if artifact.name in self.nodes else ():
                self._roots_left[name] -= 1
                if not self._roots_left[name] and name in self._copies:
                    yield self._copies.pop(name)

    def drop(self, node: ContainerNode) -> None:
        """Remove the private copies of what only this container holds, which is written."""
        for name in {member.worked_on for member in node.members}:
            parents = self._parents[name]
            parents.remove(node.artifact.name)
            if not parents:
                self.paths[name].unlink(missing_ok=True)

    def _roots(self) -> Iterator[ContainerNode]:
        return (node for node in self.nodes.values() if node.artifact.container is None)

    def _below(self, node: ContainerNode) -> set[str]:
        """The names of all that is worked on for what is inside the container, at any depth."""
        found: set[str] = set()
        waiting = [node]
        while waiting:
            names = {member.worked_on for member in waiting.pop().members} - found
            found |= names
            waiting += (self.nodes[name] for name in names if name in self.nodes)
        return found

    def _is_expected(self, name: str) -> bool:
        node = self.nodes.get(name)
        return name in self._expected or (
            node is not None and any(self._is_expected(member.worked_on) for member in node.members)
        )

    def _is_needed(self, name: str) -> bool:
        parents = self._parents.get(name, ())
        if not parents:
            return name not in self._doomed
        return any(parent not in self._doomed and self._is_needed(parent) for parent in parents)

    def _reasons(self, name: str) -> Iterator[str]:
        for parent in self._parents.get(name, ()):
            if parent in self._doomed:
                yield self._doomed[parent]
            yield from self._reasons(parent)

    def _doom(self, name: str, reason: str) -> None:
        for above in (name, *self._parents.get(name, ())):
            if above not in self._doomed:
                self._doomed[above] = reason
                if above != name:
                    self._doom(above, reason)
