"""Extracts files from containers into private copies, the same content once, within what one file may hold."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import Container, ContainerEntry
from kspsign.authenticode.containers.kinds import is_named_container
from kspsign.authenticode.formats import PROGRAM_SUFFIXES, may_be_signable
from kspsign.authenticode.io.new_file import new_file
from kspsign.authenticode.signable import HEAD
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

BOUNDS: Final = Bounds()
MAX_FILES, MAX_BYTES = 100_000, 32 << 30
"""Files, and bytes of them, that are extracted from one file that the patterns match, at all depths together."""
_EXCLUDE: Final = "Check where the file comes from; exclude it from --inside (!PATTERN) if it is correct."

Ownership = Callable[[bytes], str | None]
"""Says by the first bytes of a file who may have the same copy of it."""


class Content(NamedTuple):
    """The first bytes of an entry, and a private copy of all; None for what has no row under any pattern."""

    head: bytes
    path: Path | None = None


@dataclass(slots=True)
class Extracted:
    """What was extracted from one outermost file so far: files, and their size in bytes."""

    files: int = 0
    size: int = 0

    def add(self, entry: ContainerEntry) -> None:
        """Raises ArtifactError (ERROR_NOT_SUPPORTED) beyond what one file may hold."""
        self.files, self.size = self.files + 1, self.size + entry.size
        if self.files > MAX_FILES or self.size > MAX_BYTES:
            raise over_limit(f"more than {MAX_FILES} files or {MAX_BYTES} bytes would be taken out of it")


@dataclass(frozen=True, slots=True)
class Extractor:
    """Makes the private copies in `folder`; safe to share between threads."""

    folder: PrivateFolder
    _known: dict[tuple[object, ...], Path] = field(default_factory=dict)
    _sizes: set[tuple[int, int, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def extract(self, container: Container, entry: ContainerEntry, suffix: str, own: Ownership) -> Content:
        """The entry's content. The private copy is that of the same content with the same extension, among those for
        which `own` says the same; none is made of what is neither of a format nor named like a program or container.

        Raises ArtifactError when the entry is damaged, OSError.
        """
        pieces = container.pieces(entry)
        head = b""
        for piece in pieces:
            head += piece
            if len(head) >= HEAD:
                break
        begin = head[:HEAD]
        if not (suffix in PROGRAM_SUFFIXES or is_named_container(begin, suffix) or may_be_signable(begin, suffix)):
            return Content(begin)
        owner = own(begin)
        known = self._same(container, entry, suffix, owner)
        if known is not None:
            return Content(begin, known)
        digest, path = hashlib.sha256(), self.folder.new_path(suffix)
        with new_file(path) as file:
            for piece in chain((head,), pieces):
                digest.update(piece)
                file.write(piece)
        with self._lock:
            kept = self._known.setdefault((digest.hexdigest(), suffix, owner), path)
        if kept is not path:
            path.unlink()
        return Content(begin, kept)

    def _same(self, container: Container, entry: ContainerEntry, suffix: str, owner: str | None) -> Path | None:
        """The existing copy, where an entry of the same size and checksum was extracted before."""
        size = entry.entry.crc, entry.size, suffix
        with self._lock:
            seen = size in self._sizes
            self._sizes.add(size)
        if not seen:
            return None
        digest = hashlib.sha256()
        for piece in container.pieces(entry):
            digest.update(piece)
        return self._known.get((digest.hexdigest(), suffix, owner))


def over_limit(what: str) -> ArtifactError:
    """The error for a file that holds more than is worked on: `what` says of which."""
    return ArtifactError(Hresult.ERROR_NOT_SUPPORTED, f"what is inside can't be worked on: {what}", remedy=_EXCLUDE)
