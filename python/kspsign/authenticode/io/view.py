"""A file that another one was made of, as it was before: the beginning of that one, but for a few bytes in it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from kspsign.authenticode.io.snapshot import BLOCK, Snapshot

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SnapshotView(Snapshot):
    """The first `size` bytes of `whole`, with other bytes at the offsets of `patches`; see Snapshot."""

    __slots__ = ("_patches", "_whole")

    def __init__(self, whole: Snapshot, size: int, patches: Mapping[int, bytes]) -> None:
        super().__init__(whole.path, keep=False, size=size)
        self._whole, self._patches = whole, dict(patches)

    def open(self) -> BinaryIO:
        """See Snapshot."""
        return io.BufferedReader(_Patched(self, self._whole.open()), BLOCK)

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """See Snapshot."""
        for at, piece in self._whole.pieces():
            if at >= self.size:
                return
            yield at, self.patched(at, piece[: self.size - at])

    def patched(self, at: int, piece: memoryview) -> memoryview:
        """`piece`, which is at offset `at` of the whole, as this view has it."""
        within = {offset: new for offset, new in self._patches.items() if at - len(new) < offset < at + len(piece)}
        if not within:
            return piece
        changed = bytearray(piece)
        for offset, new in within.items():
            begin, end = max(offset, at), min(offset + len(new), at + len(piece))
            changed[begin - at : end - at] = new[begin - offset : end - offset]
        return memoryview(changed)


class _Patched(io.RawIOBase):
    """Reads a view."""

    def __init__(self, view: SnapshotView, whole: BinaryIO) -> None:
        self._view, self._whole = view, whole

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See io.RawIOBase."""
        if whence == os.SEEK_END:
            return self._whole.seek(self._view.size + offset)
        return self._whole.seek(offset, whence)

    def tell(self) -> int:
        """See io.RawIOBase."""
        return self._whole.tell()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """See io.RawIOBase."""
        target, at = memoryview(buffer).cast("B"), self._whole.tell()
        piece = self._whole.read(max(min(len(target), self._view.size - at), 0))
        target[: len(piece)] = self._view.patched(at, memoryview(piece))
        return len(piece)

    def close(self) -> None:
        """See io.RawIOBase."""
        self._whole.close()
        super().close()
