"""A compound file opened and checked: every sector has one owner, every stream the sectors its size asks for.

Reads through sector chains; memory grows with the allocation tables, not with the streams.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.compound.allocation import AllocationTable, Extent, little_endian, read_fat, read_sector
from kspsign.authenticode.compound.directory import ENTRY, MAX_ENTRIES, Entry, Storage, read_directory
from kspsign.authenticode.compound.header import (
    END,
    FREE,
    MAGIC,
    MINI_CUTOFF,
    MINI_SECTOR,
    Header,
    damaged,
    read_header,
)
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult

CHUNK = 1 << 20
_CLASS_ID = 80


@dataclass(frozen=True, slots=True)
class CompoundFile:
    """A compound file whose structure was read and checked, no stream yet.

    `mini_stream` has the sectors of the mini stream in order; `blank` tells whether unused directory entries are.
    """

    path: Path
    size: int
    header: Header
    fat: AllocationTable = field(repr=False)
    mini_fat: AllocationTable = field(repr=False)
    mini_stream: array[int] = field(repr=False)
    root: Storage = field(repr=False)
    blank: bool

    @classmethod
    def open(cls, path: Path) -> CompoundFile:
        """Read the structure of `path`; raises ArtifactError (ERROR_BAD_FORMAT) when it contradicts itself."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = read_header(file)
            fat = read_fat(file, header, size)
            directory = _read_chain(file, header, fat, header.directory_start, MAX_ENTRIES * ENTRY, "the directory")
            if header.major > 3 and len(directory) != header.directory_sectors * header.sector_size:
                raise damaged(f"its header counts {header.directory_sectors} directory sectors, there are others")
            root, blank = read_directory(directory, header.major)
            mini_stream = _read_mini_stream(header, fat, root.entry)
            mini_fat = _read_mini_fat(file, header, fat, root.entry.size)
        compound = cls(path, size, header, fat, mini_fat, mini_stream, root, blank)
        for storage in root.walk():
            for stream in storage.streams:
                compound._claim(stream)
        return compound

    def read(self, file: BinaryIO, stream: Entry) -> Iterator[bytes]:
        """The content of `stream` in chunks; raises ArtifactError when the file ends before it."""
        left = stream.size
        for offset, length in self._places(stream):
            file.seek(offset)
            end = min(length, left)
            left -= end
            while end:
                chunk = file.read(min(CHUNK, end))
                if not chunk:
                    raise damaged(f"the stream {stream.label} is cut off: the file is truncated")
                end -= len(chunk)
                yield chunk

    def hidden(self) -> Iterator[tuple[str, int]]:
        """Where data lies that belongs to nothing: what kind of place, and its offset in the file."""
        with self.path.open("rb") as file:
            if not self.blank:
                yield "an unused directory entry", self.header.offset(self.header.directory_start)
            for extent in self.fat.unclaimed():
                yield from self._stretch(file, self.header.offset(extent.first), extent.length, "unallocated sectors")
            for extent in self.mini_fat.unclaimed():
                for mini in range(extent.first, extent.first + extent.length):
                    if _exactly(file, self._mini_offset(mini), MINI_SECTOR) != bytes(MINI_SECTOR):
                        yield "unallocated mini sectors", self._mini_offset(mini)

    def _stretch(self, file: BinaryIO, offset: int, sectors: int, what: str) -> Iterator[tuple[str, int]]:
        end = min(offset + sectors * self.header.sector_size, self.size)
        for start in range(offset, end, CHUNK):
            length = min(CHUNK, end - start)
            if _exactly(file, start, length) != bytes(length):
                yield what, start

    def _claim(self, stream: Entry) -> None:
        if not stream.size:
            return
        small = stream.size < MINI_CUTOFF
        table, unit = (self.mini_fat, MINI_SECTOR) if small else (self.fat, self.header.sector_size)
        found = table.claim(stream.start, f"the stream {stream.label}")
        if found != -(-stream.size // unit):
            raise damaged(f"the stream {stream.label} of {stream.size} bytes has {found} sectors of its {table.name}")

    def _places(self, stream: Entry) -> Iterator[Extent]:
        """(offset in the file, bytes) of each piece of the stream."""
        if not stream.size:
            return
        if stream.size >= MINI_CUTOFF:
            for first, count in self.fat.chain(stream.start):
                yield Extent(self.header.offset(first), count * self.header.sector_size)
            return
        for first, count in self.mini_fat.chain(stream.start):
            for mini in range(first, first + count):
                yield Extent(self._mini_offset(mini), MINI_SECTOR)

    def _mini_offset(self, mini: int) -> int:
        index, within = divmod(mini * MINI_SECTOR, self.header.sector_size)
        return self.header.offset(self.mini_stream[index]) + within


def root_class(path: Path) -> bytes | None:
    """The class identifier (16 bytes as stored) of the root of a compound file; None when it has no readable one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = read_header(file)
            sector = read_sector(file, header, header.directory_start, size // header.sector_size)
    except (ArtifactError, OSError):
        return None
    return sector[_CLASS_ID : _CLASS_ID + 16]


def is_compound(head: bytes) -> bool:
    """Whether a file that begins with `head` is a compound file, whole or truncated."""
    return head.startswith(MAGIC)


def _read_chain(file: BinaryIO, header: Header, fat: AllocationTable, start: int, limit: int, what: str) -> bytes:
    """The content of a chain, which is claimed; raises ArtifactError when it is longer than `limit` bytes."""
    count = fat.claim(start, what)
    if count * header.sector_size > limit:
        raise damaged(f"{what} has {count} sectors, more than there is use for")
    sectors = (first + index for first, length in fat.chain(start) for index in range(length))
    return b"".join(read_sector(file, header, sector, fat.sectors) for sector in sectors)


def _read_mini_stream(header: Header, fat: AllocationTable, root: Entry) -> array[int]:
    if not root.size:
        return array("I")
    count = fat.claim(root.start, "the mini stream")
    if count != -(-root.size // header.sector_size):
        raise damaged(f"the mini stream of {root.size} bytes has {count} sectors")
    return array("I", (first + index for first, length in fat.chain(root.start) for index in range(length)))


def _read_mini_fat(file: BinaryIO, header: Header, fat: AllocationTable, mini_stream: int) -> AllocationTable:
    sectors = mini_stream // MINI_SECTOR
    if not header.mini_fat_sectors and header.mini_fat_start in {END, FREE}:
        return AllocationTable.of("mini FAT", array("I"), sectors)
    content = _read_chain(file, header, fat, header.mini_fat_start, fat.sectors * header.sector_size, "the mini FAT")
    if len(content) != header.mini_fat_sectors * header.sector_size:
        raise damaged(f"its header counts {header.mini_fat_sectors} mini FAT sectors, there are others")
    return AllocationTable.of("mini FAT", little_endian(array("I", content)), sectors)


def _exactly(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")
    return data
