"""Compares the files of a package with its block map, in the same pass that hashes the package."""

from __future__ import annotations

import hashlib
import zlib

from kspsign.authenticode.appx.block_map import BLOCK, BlockMap, MappedFile
from kspsign.authenticode.appx.names import plain
from kspsign.authenticode.zip import Entry

_WINDOW = 1 << 15  # bytes that deflate may refer back to (RFC 1951 §2)


class BlockCheck:
    """Compares what files unpack to with their digests in the block map, and where their packed blocks end with the
    sizes there. `fault` is the first difference."""

    def __init__(self, block_map: BlockMap) -> None:
        self.fault: str | None = None
        self._map = block_map
        self._name = ""
        self._file: MappedFile | None = None
        self._blocks: _PackedBlocks | None = None
        self._skip = self._size = self._number = 0
        self._hasher = hashlib.new(block_map.algorithm)
        self._whole = hashlib.new(block_map.algorithm)

    def begin(self, entry: Entry) -> None:
        """What is fed next is of that entry, from its local header on."""
        self.finish()
        self._name = plain(entry.name)
        self._file = file = self._map.files.get(self._name)
        self._skip, self._size, self._number = entry.data - entry.offset, 0, 0
        self._hasher = hashlib.new(self._map.algorithm)
        self._whole = hashlib.new(self._map.algorithm)
        sizes = [size for size in file.packed if size is not None] if file and entry.method else []
        self._blocks = _PackedBlocks(sizes, entry.size) if sizes else None

    def feed(self, raw: bytes, content: bytes) -> None:
        """The next bytes of the entry as they are in the archive, and what they unpack to."""
        file = self._file
        if file is None:
            return
        if self._blocks is not None and raw:
            self._blocks.feed(memoryview(raw)[self._skip :])
            self._skip = max(self._skip - len(raw), 0)
        if file.whole is not None:
            self._whole.update(content)
        view = memoryview(content)
        while view:
            part = view[: BLOCK - self._size]
            self._hasher.update(part)
            self._size += len(part)
            view = view[len(part) :]
            if self._size == BLOCK:
                self._compare(file)

    def finish(self) -> None:
        """The entry is at its end."""
        file = self._file
        if file is None:
            return
        if self._size:
            self._compare(file)
        if self._number != len(file.digests):
            self._fail(f"{self._name} has {self._number} blocks, the block map {len(file.digests)}")
        if file.whole is not None and file.whole != self._whole.digest():
            self._fail(f"{self._name} as a whole is not what the block map has (FileHash)")
        if self._blocks is not None and (number := self._blocks.broken):
            self._fail(f"block {number} of {self._name} does not have the packed size that the block map has")
        self._file = None

    def _compare(self, file: MappedFile) -> None:
        if self._number >= len(file.digests) or file.digests[self._number] != self._hasher.digest():
            self._fail(f"block {self._number + 1} of {self._name} is not what the block map has")
        self._number += 1
        self._size = 0
        self._hasher = hashlib.new(self._map.algorithm)

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault


class _PackedBlocks:
    """Whether a deflated file's blocks are where their sizes say: each must unpack, from its first byte, to 64 KiB, the
    last to the rest. `broken` is the number of the first that does not, 0 when all do. Memory is one block's."""

    def __init__(self, sizes: list[int], size: int) -> None:
        self.broken = 0
        self._sizes, self._rest = sizes, size
        self._number = 0
        self._left = sizes[0]
        self._content = b""
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def feed(self, packed: memoryview) -> None:
        """The next bytes of the entry's data; what follows the last block is passed over."""
        while packed and not self.broken and self._number < len(self._sizes):
            part = packed[: self._left]
            self._unpack(part)
            self._left -= len(part)
            packed = packed[len(part) :]
            if not self._left:
                self._end()

    def _unpack(self, part: memoryview) -> None:
        try:
            self._content += self._inflate.decompress(part, BLOCK + 1 - len(self._content))
        except zlib.error:
            self._fail()
        if len(self._content) > BLOCK:
            self._fail()

    def _end(self) -> None:
        if len(self._content) != min(BLOCK, self._rest):
            self._fail()
        self._rest -= len(self._content)
        self._number += 1
        if self._number < len(self._sizes):
            self._left = self._sizes[self._number]
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=self._content[-_WINDOW:])
            self._content = b""

    def _fail(self) -> None:
        self.broken = self.broken or self._number + 1
