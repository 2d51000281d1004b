"""Allocation tables of a compound file: FAT and mini FAT (MS-CFB §2.3, §2.4, §2.5), and which stream owns which
sectors."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from kspsign.authenticode.compound.header import DIFAT_SECTOR, END, FAT_SECTOR, FREE, Header, damaged

_FIRST_BLOCK, _BLOCK = 16, 8192
_SPARE, _SPARE_SECTORS = 4, 64
UNUSED = b"\xff"
"""Fills a table after its last number: bytes of FREE."""


class Extent(NamedTuple):
    """Neighbouring sectors: the number of the first, and how many."""

    first: int
    length: int


@dataclass(frozen=True, slots=True)
class AllocationTable:
    """For each of `sectors` sectors the one that comes next in its chain; `name` is "FAT" or "mini FAT".

    `claimed` has a byte for each sector, not zero once a chain has it.
    """

    name: str
    following: array[int] = field(repr=False)
    sectors: int
    claimed: bytearray = field(repr=False)

    @classmethod
    def of(cls, name: str, following: array[int], sectors: int) -> AllocationTable:
        """A table with no claims. What it says of sectors past the last one is ignored: some writers leave it."""
        return cls(name, following, sectors, bytearray(sectors))

    def chain(self, start: int) -> Iterator[Extent]:
        """The chain that begins with `start`, as few extents as it has.

        Raises ArtifactError when it leaves the file; a chain that was never claimed may have no end.
        """
        while start != END:
            if start >= min(self.sectors, len(self.following)):
                raise damaged(f"a chain of its {self.name} leads to sector 0x{start:X} past the end: it is truncated")
            extent = Extent(start, self._neighbours(start))
            yield extent
            start = self.following[start + extent.length - 1]

    def claim(self, start: int, what: str) -> int:
        """Claim the chain that begins with `start` for `what`; the number of its sectors.

        Raises ArtifactError when a sector of it is claimed already, so also when it loops.
        """
        total = 0
        for extent in self.chain(start):
            self.claim_extent(extent, what)
            total += extent.length
        return total

    def claim_extent(self, extent: Extent, what: str) -> None:
        """Claim neighbouring sectors for `what`."""
        first, length = extent
        if self.claimed.find(1, first, first + length) >= 0:
            raise damaged(f"{what} has sectors of its {self.name} that belong to something else, or loops")
        self.claimed[first : first + length] = b"\1" * length

    def claim_marked(self, sector: int, mark: int, what: str) -> None:
        """Claim the one sector that the table marks as `what`."""
        if sector >= min(self.sectors, len(self.following)) or self.following[sector] != mark:
            raise damaged(f"sector 0x{sector:X} is used as {what}, but not marked so in its {self.name}")
        self.claim_extent(Extent(sector, 1), what)

    def stray(self) -> int | None:
        """The first number that names a sector of no chain, and is neither FREE nor END; None when there
        is none. Behind the last sector some writers mark what they don't use as END."""
        numbers = self.following
        for first, length in self.unclaimed():
            found = _stray(numbers, first, min(first + length, len(numbers)))
            if found is not None:
                return found
        return _stray(numbers, self.sectors, len(numbers))

    def unclaimed(self) -> Iterator[Extent]:
        """The sectors that no chain has, lost chains among them."""
        end = 0
        while (first := self.claimed.find(0, end)) >= 0:
            end = self.claimed.find(1, first)
            end = self.sectors if end < 0 else end
            yield Extent(first, end - first)

    def _neighbours(self, start: int) -> int:
        """The length of the run at `start`: sectors whose chain continues with the next sector of the file, plus the
        last."""
        at, size, limit = start, _FIRST_BLOCK, min(self.sectors, len(self.following))
        while True:
            block = self.following[at : min(at + size, limit - 1)]
            if block != array("I", range(at + 1, at + 1 + len(block))):
                return at - start + 1 + next(i for i, value in enumerate(block) if value != at + i + 1)
            at += len(block)
            if len(block) < size:
                return at - start + 1
            size = min(size * 2, _BLOCK)


def sector_count(header: Header, size: int) -> int:
    """Sectors of a file of `size` bytes, the last one perhaps cut."""
    return -(-max(size - header.sector_size, 0) // header.sector_size)


def most_table_sectors(header: Header, entries: int) -> int:
    """Sectors that a table of `entries` may have: it is kept in memory, and writers leave no more room than this."""
    return -(-entries * 4 // header.sector_size) * _SPARE + _SPARE_SECTORS


def _stray(numbers: array[int], first: int, end: int) -> int | None:
    return next((at for at in range(first, end) if numbers[at] < END), None)


def read_fat(file: BinaryIO, header: Header, size: int) -> AllocationTable:
    """The FAT of the compound file of `size` bytes; the sectors that hold it are claimed.

    Raises ArtifactError when header, DIFAT and FAT contradict each other.
    """
    sectors = sector_count(header, size)
    if max(header.fat_sectors, header.difat_sectors) > min(sectors, most_table_sectors(header, sectors)):
        raise damaged(f"its header counts {header.fat_sectors} FAT sectors, the file has {sectors}: it is truncated")
    holders, listers = _fat_sectors(file, header, sectors)
    table = array("I")
    for sector in holders:
        table.frombytes(read_sector(file, header, sector, sectors, UNUSED))
    fat = AllocationTable.of("FAT", little_endian(table), sectors)
    for sector in holders:
        fat.claim_marked(sector, FAT_SECTOR, "a FAT sector")
    for sector in listers:
        fat.claim_marked(sector, DIFAT_SECTOR, "a DIFAT sector")
    lock = header.range_lock_sector
    if lock is not None and lock < sectors and fat.following[lock] == END:
        fat.claim_extent(Extent(lock, 1), "the range lock")
    return fat


def _fat_sectors(file: BinaryIO, header: Header, sectors: int) -> tuple[list[int], list[int]]:
    """The sectors that hold the FAT, and those that list them besides the header (DIFAT)."""
    holders, listers = list(header.difat), []
    sector = header.difat_start
    for _ in range(header.difat_sectors):
        listers.append(sector)
        *numbers, sector = little_endian(array("I", read_sector(file, header, sector, sectors, UNUSED)))
        left = header.fat_sectors - len(holders)
        holders += numbers[:left]
        if any(number != FREE for number in numbers[left:]):
            raise damaged("its DIFAT lists more FAT sectors than its header counts")
    if sector not in {END, FREE}:
        raise damaged("its DIFAT has more sectors than its header counts")
    if len(holders) != header.fat_sectors:
        raise damaged(f"its DIFAT lists {len(holders)} FAT sectors, its header counts {header.fat_sectors}")
    return holders, listers


def read_sector(file: BinaryIO, header: Header, sector: int, sectors: int, filling: bytes = b"\0") -> bytes:
    """A whole sector; raises ArtifactError when it lies outside the file.

    Some writers truncate the last sector of a file after its content: it is read as if padded with `filling` (a byte).
    """
    if sector >= sectors:
        raise damaged(f"sector 0x{sector:X} lies past the end: the file is truncated")
    file.seek(header.offset(sector))
    data = file.read(header.sector_size)
    if len(data) != header.sector_size and sector != sectors - 1:
        raise damaged(f"sector 0x{sector:X} is cut off: the file is truncated")
    return data.ljust(header.sector_size, filling)


def little_endian(numbers: array[int]) -> array[int]:
    """`numbers` from the file's order of bytes to this machine's, or the other way."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
