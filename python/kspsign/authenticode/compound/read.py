"""Opens and checks a compound file: every sector has one owner, every stream the sectors its size requires.

Reads through sector chains; memory grows with the allocation tables, not with the streams.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from kspsign.authenticode.compound.allocation import (
    UNUSED,
    AllocationTable,
    Extent,
    little_endian,
    most_table_sectors,
    read_fat,
    read_sector,
    sector_count,
)
from kspsign.authenticode.compound.directory import ENTRY, MAX_ENTRIES, DirectoryEntry, Storage, read_directory
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
from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.snapshot import CHUNK, Snapshot
from kspsign.model.errors import ArtifactError

_CLASS_ID = 80


@dataclass(frozen=True, slots=True)
class CompoundFile:
    """A compound file whose structure was read and checked, no stream yet.

    `mini_stream` has the sectors of the mini stream in order; `blank`: whether unused directory entries are blank.
    """

    snapshot: Snapshot
    header: Header
    fat: AllocationTable = field(repr=False)
    mini_fat: AllocationTable = field(repr=False)
    mini_stream: array[int] = field(repr=False)
    root: Storage = field(repr=False)
    blank: bool

    @classmethod
    def open(cls, snapshot: Snapshot) -> CompoundFile:
        """Read the structure; raises ArtifactError (ERROR_BAD_FORMAT) when it contradicts itself."""
        size = snapshot.size
        with snapshot.open() as file:
            header = read_header(file)
            fat = read_fat(file, header, size)
            directory = _read_chain(file, header, fat, header.directory_start, MAX_ENTRIES * ENTRY, "the directory")
            if header.major > 3 and len(directory) != header.directory_sectors * header.sector_size:
                raise damaged(f"its header counts {header.directory_sectors} directory sectors, there are others")
            root, blank = read_directory(directory, header.major)
            mini_stream = _read_mini_stream(header, fat, root.entry)
            mini_fat = _read_mini_fat(file, header, fat, root.entry.size)
        compound = cls(snapshot, header, fat, mini_fat, mini_stream, root, blank)
        for storage in root.walk():
            for stream in storage.streams:
                compound._claim(stream)
        return compound

    def read(self, file: BinaryIO, stream: DirectoryEntry) -> Iterator[bytes]:
        """The content of `stream` in chunks; raises ArtifactError when the file is no longer what it was."""
        for offset, length in self._content_places(stream):
            file.seek(offset)
            yield from stretch(file, length)

    def hidden(self) -> Iterator[tuple[str, int]]:
        """Data that belongs to nothing: the kind of place, and its offset in the file.

        Unallocated sectors that end the file count whatever they hold: Windows takes no signature of such a file.
        """
        with self.snapshot.open() as file:
            if not self.blank:
                yield "an unused directory entry", self.header.offset(self.header.directory_start)
            for table in (self.fat, self.mini_fat):
                stray = table.stray()
                if stray is not None:
                    yield f"unallocated entries of its {table.name}", stray
            for first, length in self.fat.unclaimed():
                if first + length == self.fat.sectors:
                    yield "unallocated sectors that end the file", self.header.offset(first)
                place = Extent(self.header.offset(first), length * self.header.sector_size)
                yield from self._data(file, place, "unallocated sectors")
            for extent in self.mini_fat.unclaimed():
                for place in self._mini_places(extent):
                    yield from self._data(file, place, "unallocated mini sectors")

    def _claim(self, stream: DirectoryEntry) -> None:
        if not stream.size:
            return
        small = stream.size < MINI_CUTOFF
        table, unit = (self.mini_fat, MINI_SECTOR) if small else (self.fat, self.header.sector_size)
        found = table.claim(stream.start, f"the stream {stream.label}")
        if found != -(-stream.size // unit):
            raise damaged(f"the stream {stream.label} of {stream.size} bytes has {found} sectors of its {table.name}")
        # The last sector of a file may be truncated after its content.
        cut = self.snapshot.size % self.header.sector_size
        if cut and any(offset + length > self.snapshot.size for offset, length in self._content_places(stream)):
            raise damaged(f"the stream {stream.label} is cut off: the file is truncated")

    def _content_places(self, stream: DirectoryEntry) -> Iterator[Extent]:
        """(offset in the file, bytes) of each piece of the stream's content."""
        left = stream.size
        for offset, length in self._places(stream):
            yield Extent(offset, min(length, left))
            left -= min(length, left)

    def _places(self, stream: DirectoryEntry) -> Iterator[Extent]:
        """Likewise with the padding of the last sector."""
        if not stream.size:
            return
        if stream.size >= MINI_CUTOFF:
            for first, count in self.fat.chain(stream.start):
                yield Extent(self.header.offset(first), count * self.header.sector_size)
            return
        for extent in self.mini_fat.chain(stream.start):
            yield from self._mini_places(extent)

    def _mini_places(self, extent: Extent) -> Iterator[Extent]:
        """(offset in the file, bytes) of neighbouring mini sectors, as few as there are."""
        sector, sectors = self.header.sector_size, self.mini_stream
        at, end = extent.first * MINI_SECTOR, (extent.first + extent.length) * MINI_SECTOR
        while at < end:
            index, within = divmod(at, sector)
            following = index + 1
            while following * sector < end and sectors[following] == sectors[index] + following - index:
                following += 1
            stop = min(following * sector, end)
            yield Extent(self.header.offset(sectors[index]) + within, stop - at)
            at = stop

    def _data(self, file: BinaryIO, place: Extent, what: str) -> Iterator[tuple[str, int]]:
        """The offset of the first byte in a place that is not zero."""
        end = min(place.first + place.length, self.snapshot.size)
        file.seek(place.first)
        for index, data in enumerate(stretch(file, end - place.first)):
            if data != bytes(len(data)):
                yield what, place.first + index * CHUNK


def root_class(snapshot: Snapshot) -> bytes | None:
    """The class identifier (16 bytes as stored) of the root of a compound file; None when it has no readable one."""
    try:
        with snapshot.open() as file:
            header = read_header(file)
            sector = read_sector(file, header, header.directory_start, sector_count(header, snapshot.size))
    except (ArtifactError, OSError):
        return None
    return sector[_CLASS_ID : _CLASS_ID + 16]


def is_compound(head: bytes) -> bool:
    """Whether a file that begins with `head` is a compound file, whole or truncated."""
    return head.startswith(MAGIC)


def _read_chain(
    file: BinaryIO,
    header: Header,
    fat: AllocationTable,
    start: int,
    limit: int,
    what: str,
    *,
    filling: bytes = b"\0",
) -> bytes:
    """The content of a chain, which is claimed; raises ArtifactError when it is longer than `limit` bytes."""
    count = fat.claim(start, what)
    if count * header.sector_size > limit:
        raise damaged(f"{what} has {count} sectors, more than it needs")
    sectors = (first + index for first, length in fat.chain(start) for index in range(length))
    return b"".join(read_sector(file, header, sector, fat.sectors, filling) for sector in sectors)


def _read_mini_stream(header: Header, fat: AllocationTable, root: DirectoryEntry) -> array[int]:
    if not root.size:
        return array("I")
    count = fat.claim(root.start, "the mini stream")
    if count != -(-root.size // header.sector_size):
        raise damaged(f"the mini stream of {root.size} bytes has {count} sectors")
    return array("I", (first + index for first, length in fat.chain(root.start) for index in range(length)))


def _read_mini_fat(file: BinaryIO, header: Header, fat: AllocationTable, mini_stream: int) -> AllocationTable:
    sectors = -(-mini_stream // MINI_SECTOR)  # the last one may be cut as well
    if not header.mini_fat_sectors and header.mini_fat_start in {END, FREE}:
        return AllocationTable.of("mini FAT", array("I"), sectors)
    limit = most_table_sectors(header, sectors) * header.sector_size
    content = _read_chain(file, header, fat, header.mini_fat_start, limit, "the mini FAT", filling=UNUSED)
    if len(content) != header.mini_fat_sectors * header.sector_size:
        raise damaged(f"its header counts {header.mini_fat_sectors} mini FAT sectors, there are others")
    return AllocationTable.of("mini FAT", little_endian(array("I", content)), sectors)
