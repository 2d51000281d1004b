"""Files that state size and digest of other files, as manifests do: the interface of their formats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import SignableFile
from kspsign.model.values import DigestAlgorithm, Format


class SizedDigest(NamedTuple):
    """Size in bytes and digest of a file."""

    size: int
    digest: bytes


class FileReference(NamedTuple):
    """Another file that a signed file states size and digest of: its name there, where it is, and what is stated.

    `signed_as` is the format of one without whose own signature that of the stating file is worth nothing.
    """

    name: str
    path: Path
    algorithm: DigestAlgorithm
    stated: SizedDigest
    signed_as: Format | None = None

    def actual(self) -> SizedDigest | None:
        """What it is now, None when it is not there. OSError passes through."""
        hasher, size = hashlib.new(self.algorithm), 0
        try:
            for _, piece in Snapshot(self.path, keep=False).pieces():
                hasher.update(piece)
                size += len(piece)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return SizedDigest(size, hasher.digest())

    def difference(self, actual: SizedDigest | None) -> str | None:
        """How `actual` is not what is stated; None when it is."""
        if actual is None:
            return f"{self.name} is not there"
        if actual.digest != self.stated.digest:
            return f"{self.name} has the hash {actual.digest.hex()}, stated is {self.stated.digest.hex()}"
        if actual.size != self.stated.size:
            return f"{self.name} has {actual.size} bytes, stated are {self.stated.size}"
        return None


def looked_up(references: Sequence[FileReference]) -> Iterator[tuple[FileReference, SizedDigest | None]]:
    """Each with what its file is now; one that is stated many times is read once. OSError passes through."""
    known: dict[tuple[Path, DigestAlgorithm], SizedDigest | None] = {}
    for reference in references:
        key = reference.path, reference.algorithm
        if key not in known:
            known[key] = reference.actual()
        yield reference, known[key]


@runtime_checkable
class ReferencingFile(Protocol):
    """A signable file that states the digests of others (a manifest): they are signed first, and it follows them."""

    def references(self) -> tuple[FileReference, ...]:
        """The files that it is about, wherever they are or should be."""

    def restated(self, states: Mapping[str, SizedDigest]) -> SignableFile:
        """The same file with `states` in place of what it says of these names. What its sha256 is of stays the file as
        it is. Raises ArtifactError when a name is that of a manifest that can't be read."""
