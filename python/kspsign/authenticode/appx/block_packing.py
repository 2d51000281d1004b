"""Packs a file of a package as MakeAppx does it: deflated by blocks of 64 KiB, each flushed so that it can be unpacked
alone, and each with its digest for the block map."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator

from kspsign.authenticode.appx.block_map import BLOCK, MappedFile
from kspsign.authenticode.zip import Packing, ZipEntry
from kspsign.model.values import DigestAlgorithm


class BlockPacking(Packing):
    """The packing of a file whose blocks, digests and size go into `file`, its new entry in the block map."""

    def __init__(self, entry: ZipEntry, old: MappedFile, algorithm: DigestAlgorithm) -> None:
        super().__init__(entry)
        self.file = MappedFile(0, old.header)
        self._algorithm = algorithm
        self._whole = None if old.whole is None else hashlib.new(algorithm)

    def pack(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """See Packing."""
        yield from super().pack(_blocks(pieces))
        self.file.size = self.size
        self.file.whole = None if self._whole is None else self._whole.digest()

    def _step(self, content: bytes) -> bytes:
        self.file.digests.append(hashlib.new(self._algorithm, content).digest())
        if self._whole is not None:
            self._whole.update(content)
        if self._deflate is None:
            self.file.packed.append(None)
            return content
        packed = self._deflate.compress(content) + self._deflate.flush(zlib.Z_FULL_FLUSH)
        self.file.packed.append(len(packed))
        return packed


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same content in blocks, of which only the last is smaller."""
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % BLOCK
        for at in range(0, whole, BLOCK):
            yield rest[at : at + BLOCK]
        rest = rest[whole:]
    if rest:
        yield rest
