"""One content of a file, however often it is read.

What is judged and what is hashed takes several readings, and a file may change between them without a trace: a shared
mapping that was not synchronized leaves size and times as they were. So a small file is read into memory once. Of a
large one every block that is read leaves a tag, and whoever reads that block later must find the same.

A tag is a GMAC (NIST SP 800-38D) under a random key that never leaves this process. It is never shown to anybody, so
one nonce serves all: two contents of a block have the same tag with a probability below 2^-110, whoever wrote them.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK: Final = 64 << 10
"""Bytes that a tag is of; nothing less is read of a large file."""
CHUNK: Final = 1 << 20
LARGE: Final = 16 << 20
"""Bytes from which a file is not kept in memory."""
_NONCE = bytes(12)


def file_changed() -> ArtifactError:
    """The error (ERROR_SHARING_VIOLATION) for a file that is no longer what it was when it was opened."""
    return ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")


class DiskState(NamedTuple):
    """What the system says of a file. It changes whenever the file is written to, even if its modification time is
    restored. `links` is the number of its names (hard links)."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    links: int

    @classmethod
    def of(cls, path: Path) -> DiskState:
        """The state of the file at `path` just now. Raises OSError."""
        return cls.of_stat(path.stat())

    @classmethod
    def of_stat(cls, now: os.stat_result) -> DiskState:
        """The state of a file of which the system says this."""
        return cls(now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_nlink)

    def lasts(self, now: DiskState) -> bool:
        """Whether the file was not written to between this state and `now`. That another name of it was removed or
        replaced, as signing does, changes the last two fields and no content."""
        return self.is_unchanged(now) or (now[:4] == self[:4] and now.links < self.links)

    def is_unchanged(self, now: DiskState) -> bool:
        """Whether nothing happened to the file until `now`. Its number of names alone says nothing: where a new name
        changes no time (Windows), SignTool is given one while it reads the file."""
        return now[:5] == self[:5]


class Snapshot:
    """The content that the file at `path` has when it is first read; safe to share between threads.

    Every reading gives that content, or raises ArtifactError (ERROR_SHARING_VIOLATION). `size` is in bytes. With
    `keep` a file below LARGE is read at once and kept in memory; without, nothing is: for those who keep many files
    open.
    """

    __slots__ = ("_data", "_mac", "_tags", "path", "size")

    def __init__(self, path: Path, *, keep: bool = True, size: int | None = None) -> None:
        """`size` is given by those that read other than the file as it is (SnapshotView)."""
        self.path: Final = path
        self._data: bytes | None = None
        self.size: Final = path.stat().st_size if size is None else size
        if keep and self.size < LARGE:
            self._data = path.read_bytes()
            if len(self._data) != self.size:
                raise file_changed()
        if self._data is None:
            self._mac: Final = AESGCM(os.urandom(16))
            self._tags: Final[dict[int, bytes]] = {}

    def open(self) -> BinaryIO:
        """Read the content from its beginning."""
        return io.BufferedReader(_Checked(self), BLOCK) if self._data is None else io.BytesIO(self._data)

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """The content in order, in pieces of at most CHUNK bytes, each with its offset and valid until the next."""
        if self._data is not None:
            with memoryview(self._data) as kept:
                for at in range(0, self.size, CHUNK):
                    yield at, kept[at : at + CHUNK]
            return
        at, buffer = 0, memoryview(bytearray(min(CHUNK, self.size)))
        with io.BufferedReader(_Checked(self), BLOCK) as file:
            while count := file.readinto(buffer):
                yield at, buffer[:count]
                at += count

    def head(self, most: int) -> bytes:
        """The first bytes of the content, `most` or as many as there are."""
        with self.open() as file:
            return file.read(most)

    def whole(self, most: int) -> bytes | None:
        """All of the content, None when it has more than `most` bytes."""
        if self.size > most:
            return None
        if self._data is not None:
            return self._data
        with self.open() as file:
            return file.read(self.size)

    def sha256(self) -> str:
        """The sha256 (hex) of all of the content."""
        digest = hashlib.sha256()
        for _, piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def check(self, first: int, data: memoryview) -> None:
        """Raise file_changed unless `data`, from block number `first` on, is what was read there before."""
        tags = self._tags
        for index in range(-(-len(data) // BLOCK)):
            tag = self._mac.encrypt(_NONCE, b"", data[index * BLOCK : (index + 1) * BLOCK])
            if tags.setdefault(first + index, tag) != tag:
                raise file_changed()


class _Checked(io.RawIOBase):
    """Reads a snapshot from the disk, by whole blocks."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot, self._size = snapshot, snapshot.size
        self._file = snapshot.path.open("rb", buffering=0)
        self._at, self._number, self._block = 0, -1, memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See io.RawIOBase."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """See io.RawIOBase."""
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """See io.RawIOBase: whole blocks straight into `buffer`, else what is left of one."""
        target, at = memoryview(buffer).cast("B"), self._at
        left = self._size - at
        if left <= 0:
            self._check_end()
            return 0
        number, within = divmod(at, BLOCK)
        count = min(len(target), left)
        if count < left:
            count -= count % BLOCK
        if within or not count:
            block = self._load(number)
            count = min(len(block) - within, len(target))
            target[:count] = block[within : within + count]
        else:
            self._read(at, target[:count])
        self._at += count
        return count

    def close(self) -> None:
        """See io.RawIOBase."""
        self._file.close()
        super().close()

    def _load(self, number: int) -> memoryview:
        if number != self._number:
            block = memoryview(bytearray(min(BLOCK, self._size - number * BLOCK)))
            self._read(number * BLOCK, block)
            self._number, self._block = number, block
        return self._block

    def _read(self, at: int, target: memoryview) -> None:
        self._file.seek(at)
        _fill(self._file, target)
        self._snapshot.check(at // BLOCK, target)

    def _check_end(self) -> None:
        if self._file.seek(0, os.SEEK_END) != self._size:
            raise file_changed()


def _fill(file: io.FileIO, target: memoryview) -> None:
    """Read as many bytes as `target` has; raises file_changed when there are fewer."""
    done = 0
    while done < len(target):
        count = file.readinto(target[done:])
        if not count:
            raise file_changed()
        done += count
