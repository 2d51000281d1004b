"""Opens the containers of a run, at any depth: which files in them have rows, and in which order."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from kspsign.authenticode.containers.container import Container, ContainerEntry, open_container
from kspsign.authenticode.containers.kinds import ContainerKind, detect_container, is_named_container
from kspsign.authenticode.containers.payload import Payload, find_payloads
from kspsign.authenticode.formats import (
    MANIFEST_SUFFIXES,
    PROGRAM_SUFFIXES,
    SIGNED_AFTER_OTHERS,
    detect_format,
    is_taken_by_name,
)
from kspsign.authenticode.io.snapshot import DiskState, Snapshot
from kspsign.authenticode.refusals import is_archive
from kspsign.authenticode.signable import Glimpse
from kspsign.batch.admissions import MOST_KEPT
from kspsign.batch.inside.extract import BOUNDS, Extracted, Extractor, over_limit
from kspsign.batch.inside.patterns import InsidePatterns
from kspsign.batch.inside.tree import ContainerMember, ContainerNode
from kspsign.model.errors import ArtifactError, KspSignError, PrerequisiteError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.run_facts import InsideFacts
from kspsign.model.values import Artifact, Format
from kspsign.verifying.policy.judge import Judge

MAX_DEPTH: Final = 5
"""Containers in containers in one of the files that the patterns match."""
MOST_ENTRIES_KEPT: Final = 50_000
"""Entries of containers that are kept in memory; others are read again when their turn comes."""
_NAMED: Final = 5
_HOLDING: Final = frozenset({Format.MSI, Format.CAB, Format.PE})
_CONTAINERS: Final = (b"PK\3\4", b"NAVX")


class Opened(NamedTuple):
    """A container with all that is below it: the artifacts inside, in order, and the containers among them."""

    node: ContainerNode
    facts: InsideFacts
    artifacts: tuple[Artifact, ...] = ()
    containers: tuple[Opened, ...] = ()

    def below(self) -> Iterator[Opened]:
        """This container and every one inside."""
        yield self
        for opened in self.containers:
            yield from opened.below()


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens containers and extracts files from them by `extractor`; safe to share between threads.

    With `demanded` every file that can be signed has a row, whether or not a pattern names it; those that none names
    are judged only. `signs` says whether the run signs files, `replaces` whether it does so with files that are signed
    already. What a policy judges by name has a copy of its own for each name, if it is to be signed. `unopened` says of
    files what is packed in them in a way that is neither read nor written.
    """

    extractor: Extractor
    patterns: InsidePatterns
    judge: Judge | None
    demanded: bool
    signs: bool
    replaces: bool
    unopened: dict[str, str] = field(default_factory=dict)
    _kept: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, artifact: Artifact) -> Opened | None:
        """What is in the file; None when it is not a container, or nothing in it can be selected. Never raises for what
        it holds: that is the error of the `ContainerNode`."""
        if not artifact.readable:
            return None
        self.look_for_payload(artifact)
        return self.look_into(artifact)

    def look_into(self, artifact: Artifact) -> Opened | None:
        """Likewise; what else is packed in the file is not looked for."""
        if not (artifact.readable and self.reaches(artifact.name)):
            return None
        try:
            snapshot = Snapshot(artifact.path, keep=False)
            kind = detect_container(Glimpse.of(snapshot))
        except (KspSignError, OSError):
            return None  # its own step meets the same
        return None if kind is None else self.open_nested(artifact, kind, snapshot, Extracted(), 1)

    def open_nested(
        self, artifact: Artifact, kind: ContainerKind, snapshot: Snapshot, extracted: Extracted, depth: int
    ) -> Opened:
        """What is in the container, `depth` containers deep (1: in a file of its own)."""
        try:
            if depth > MAX_DEPTH:
                raise over_limit(f"containers are in containers more than {MAX_DEPTH} deep")
            state = DiskState.of(artifact.path)
            opened = _Pass(self, artifact, open_container(snapshot, BOUNDS), extracted, depth).opened(kind, state)
            # By its other names the file may be signed first, which its state shows as it would show a change.
            sha256 = snapshot.sha256() if self.signs and state.links > 1 else None
            return opened._replace(node=replace(opened.node, sha256=sha256))
        except KspSignError as error:
            return Opened(ContainerNode(artifact, kind, error=error), InsideFacts(0))
        except OSError as refused:
            return Opened(ContainerNode(artifact, kind, error=self._no_room(refused)), InsideFacts(0))

    def keeps(self, container: Container) -> bool:
        """Whether there is room for one more container in memory."""
        with self._lock:
            self._kept["containers"] += 1
            self._kept["entries"] += len(container.entries)
            return self._kept["entries"] <= MOST_ENTRIES_KEPT and self._kept["containers"] <= MOST_KEPT

    def look_for_payload(self, artifact: Artifact) -> None:
        """Note what a package, cabinet or program holds that is signed with it alone."""
        if artifact.format not in _HOLDING or (
            artifact.format is Format.PE and not artifact.name.lower().endswith(".exe")
        ):
            return
        with contextlib.suppress(KspSignError, OSError):  # its own step meets the same
            payloads = find_payloads(Snapshot(artifact.path, keep=False), artifact.format)
            if payloads:
                self.unopened[artifact.name] = "; ".join(map(_said, payloads))

    def _no_room(self, refused: OSError) -> KspSignError:
        return PrerequisiteError(
            f"what is inside can't be taken out to {self.extractor.folder.path.parent}: {refused.strerror or refused}",
            code="TEMP_FOLDER_UNUSABLE",
            remedy="Make room in the folder for temporary files (TMPDIR, Agent.TempDirectory): it needs as much as the "
            "files to be signed have. The container was left as it was.",
        )

    def reaches(self, name: str) -> bool:
        """Whether something in the container of this name may get a row."""
        return self.demanded or self.patterns.reaches_into(name)


class _Pass:
    """One pass over the entries of a container."""

    def __init__(
        self, opener: Opener, artifact: Artifact, container: Container, extracted: Extracted, depth: int
    ) -> None:
        self._opener, self._artifact, self._container = opener, artifact, container
        self._extracted, self._depth = extracted, depth
        self._signs = opener.signs and artifact.to_sign and not self._is_left_alone()
        self._members: list[ContainerMember] = []
        self._artifacts: list[Artifact] = []
        self._containers: list[Opened] = []
        self._not_matched = self._not_signable = 0
        self._stating: str | None = None
        self._not_opened: list[str] = []

    def opened(self, kind: ContainerKind, state: DiskState) -> Opened:
        """What is in it."""
        own = self._container.signature_entries
        for entry in self._container.entries:
            if entry.name not in own:
                self._entry(entry)
        if self._stating is not None and any(artifact.to_sign for artifact in self._artifacts):
            raise ArtifactError(
                Hresult.ERROR_NOT_SUPPORTED,
                f"{self._stating} in it states hashes of files that signing would change",
                remedy="Sign the published ClickOnce or VSTO folder first, then pack it.",
            )
        facts = InsideFacts(len(self._members), self._not_matched, self._not_signable, _archives(self._not_opened))
        kept = self._container if self._members and self._opener.keeps(self._container) else None
        node = ContainerNode(self._artifact, kind, tuple(self._members), state, opened=kept)
        return Opened(node, facts, tuple(self._artifacts), tuple(self._containers))

    def _is_left_alone(self) -> bool:
        """Whether its content has to stay: it is signed and not to be signed again, or the policy says so."""
        judge, artifact = self._opener.judge, self._artifact
        if self._container.is_signed and not self._opener.replaces:
            return True
        return artifact.format is not None and judge is not None and judge.leaves_alone(artifact.names, artifact.format)

    def _entry(self, entry: ContainerEntry) -> None:
        opener, name = self._opener, f"{self._artifact.name}/{entry.name}"
        suffix = PurePosixPath(entry.name).suffix.lower()
        reaches = opener.reaches(name)
        selected = reaches or opener.patterns.takes(name)
        # A manifest that lists other files is looked for whether or not a pattern names it.
        may_state = self._signs and self._stating is None and suffix in MANIFEST_SUFFIXES
        self._not_matched += not selected
        if not (selected or may_state):
            return
        self._extracted.add(entry)
        found = opener.extractor.extract(self._container, entry, suffix, partial(self._owner, name))
        if found.path is None:
            if selected:
                self._leave(entry, None, found.head)
            return
        glimpse = Glimpse(found.path, found.head, entry.size)
        format_ = detect_format(glimpse)
        if may_state and format_ in SIGNED_AFTER_OTHERS:
            self._stating = entry.name
        if not selected:
            return
        kind = detect_container(glimpse)
        # What readers open as a container, or Windows loads, by its name is refused where nothing can be judged by it,
        # as outside of a container.
        named = is_named_container(found.head, suffix) or (suffix in PROGRAM_SUFFIXES and not opener.signs)
        counts = format_ is not None or (kind is None and named)
        by_name = suffix if opener.signs and is_taken_by_name(format_, suffix) else None
        taken = counts and opener.patterns.takes(name, named_suffix=by_name)
        demanded = opener.demanded and counts
        artifact = Artifact(str(found.path), name, format_, entry.size, container=self._artifact.name)
        if kind is not None and reaches:
            self._nested(entry, artifact, kind, taken=taken, demanded=demanded)
        elif taken or demanded:
            opener.look_for_payload(artifact)
            self._add(entry, artifact._replace(to_sign=taken and self._signs))
        else:
            self._leave(entry, format_, found.head)

    def _owner(self, name: str, head: bytes) -> str | None:
        """Which files share the private copy of this content: all that are not to be signed, or all that are. None does
        of a container, which is written again, or of what a policy judges by name."""
        if not self._signs:
            return None
        return name if self._opener.judge is not None or head.startswith(_CONTAINERS) else "signed"

    def _nested(
        self, entry: ContainerEntry, artifact: Artifact, kind: ContainerKind, *, taken: bool, demanded: bool
    ) -> None:
        """A container in the container: it has a row when something in it has one, or a pattern names it."""
        artifact = artifact._replace(to_sign=self._signs)
        snapshot = Snapshot(artifact.path, keep=False)
        opened = self._opener.open_nested(artifact, kind, snapshot, self._extracted, self._depth + 1)
        if not (opened.node.members or opened.node.error or taken or demanded):
            self._leave(entry, artifact.format, b"", opened.facts.not_opened)
            return
        to_sign = self._signs and (taken or any(inner.to_sign for inner in opened.artifacts))
        artifact = artifact._replace(to_sign=to_sign)
        self._containers.append(opened._replace(node=replace(opened.node, artifact=artifact)))
        self._add(entry, artifact)

    def _leave(self, entry: ContainerEntry, format_: Format | None, head: bytes, not_opened: str = "") -> None:
        """The file gets no row; an archive is named."""
        self._not_matched += format_ is not None
        self._not_signable += format_ is None
        if not_opened or (format_ is None and is_archive(head)):
            self._not_opened.append(f"{entry.name} ({not_opened})" if not_opened else entry.name)

    def _add(self, entry: ContainerEntry, artifact: Artifact) -> None:
        self._members.append(ContainerMember(entry.name, artifact.name))
        self._artifacts.append(artifact)


def _archives(names: Sequence[str]) -> str:
    """Says which archives in a container are not opened; empty when there are none."""
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{count(len(names), 'archive')}: {', '.join(names[:_NAMED])}{more}"


def _said(payload: Payload) -> str:
    place = f" ({payload.place})" if payload.place else ""
    return f"{payload.kind}{place}" + (f" of {count(len(payload.files), 'file')}" if payload.files else "")
