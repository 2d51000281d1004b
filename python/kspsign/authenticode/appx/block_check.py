"""Compares the files of a package with its block map, in the same pass that hashes the package."""

from __future__ import annotations

import hashlib
from itertools import accumulate

from kspsign.authenticode.appx.block_map import BLOCK, BlockMap, MappedFile
from kspsign.authenticode.appx.names import plain
from kspsign.authenticode.zip import ZipEntry

_FLUSHED = b"\0\0\xff\xff"
"""The end of a deflate flush: the lengths of an empty stored block (RFC 1951 §3.2.4)."""


class BlockCheck:
    """Compares what files unpack to with their digests in the block map, and where their packed blocks end with the
    sizes there. `fault` is the first difference."""

    def __init__(self, block_map: BlockMap) -> None:
        self.fault: str | None = None
        self._map = block_map
        self._name = ""
        self._file: MappedFile | None = None
        self._borders = _Borders(0, ())
        self._size = self._number = 0
        self._hasher = hashlib.new(block_map.algorithm)
        self._whole = hashlib.new(block_map.algorithm)

    def borders(self, entry: ZipEntry) -> tuple[int, ...]:
        """Where one block ends and the next begins in the entry's data; empty for stored entries and single blocks."""
        file = self._map.files.get(plain(entry.name))
        if file is None or not entry.method:
            return ()
        return tuple(accumulate(size for size in file.packed[:-1] if size is not None))

    def begin(self, entry: ZipEntry) -> None:
        """Start on that entry: the data fed next begins with its local header."""
        self.finish()
        self._name = plain(entry.name)
        self._file = self._map.files.get(self._name)
        self._size = self._number = 0
        self._hasher = hashlib.new(self._map.algorithm)
        self._whole = hashlib.new(self._map.algorithm)
        self._borders = _Borders(entry.data - entry.offset, self.borders(entry))

    def feed(self, raw: bytes, content: bytes) -> None:
        """The next bytes of the entry as they are in the archive, cut at its `borders`, and what they unpack to."""
        file = self._file
        if file is None:
            return
        if raw:
            self._borders.feed(raw, self._unpacked)
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
        self._borders.check(self._unpacked)
        if self._size:
            self._compare(file)
        if self._number != len(file.digests):
            self._fail(f"{self._name} has {self._number} blocks, the block map {len(file.digests)}")
        if file.whole is not None and file.whole != self._whole.digest():
            self._fail(f"{self._name} as a whole does not match the block map (FileHash)")
        if number := self._borders.broken:
            self._fail(f"block {number} of {self._name} does not have the packed size in the block map")
        self._file = None

    @property
    def _unpacked(self) -> int:
        return self._number * BLOCK + self._size

    def _compare(self, file: MappedFile) -> None:
        if self._number >= len(file.digests) or file.digests[self._number] != self._hasher.digest():
            self._fail(f"block {self._number + 1} of {self._name} does not match the block map")
        self._number += 1
        self._size = 0
        self._hasher = hashlib.new(self._map.algorithm)

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault


class _Borders:
    """Whether the packed blocks of a deflated file end where their sizes declare: all that a block unpacks to must be
    there by then, and the packer must have flushed. `fed` are the bytes of the entry that were seen, its local header
    too."""

    def __init__(self, header: int, ends: tuple[int, ...]) -> None:
        self.broken = 0
        self._ends = [header + end for end in ends]
        self._fed = self._passed = 0
        self._tail = b""

    def feed(self, raw: bytes, unpacked: int) -> None:
        """The next bytes of the entry, none of them across a border; `unpacked` is the size of what those before them
        unpacked to."""
        self.check(unpacked)
        self._fed += len(raw)
        self._tail = (self._tail + raw)[-len(_FLUSHED) :]

    def check(self, unpacked: int) -> None:
        """Whatever was fed is unpacked."""
        if self._passed < len(self._ends) and self._fed == self._ends[self._passed]:
            self._passed += 1
            if not self.broken and (unpacked != self._passed * BLOCK or self._tail != _FLUSHED):
                self.broken = self._passed
