"""The layout of a rewritten compound file: a FAT filled from its start, without gaps."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from kspsign.authenticode.compound.allocation import Extent
from kspsign.authenticode.compound.directory import ENTRY
from kspsign.authenticode.compound.header import (
    DIFAT_SECTOR,
    END,
    FAT_SECTOR,
    HEADER_DIFAT,
    MINI_CUTOFF,
    MINI_SECTOR,
    Header,
)

_NEVER = 1 << 32


@dataclass(frozen=True, slots=True)
class Layout:
    """`starts` has the first sector of each stream, `root_start` and `root_size` those of the mini stream; `difat`
    the numbers of all FAT sectors, `listers` those of the DIFAT sectors."""

    header: Header
    starts: tuple[int, ...]
    root_start: int
    root_size: int
    fat: array[int] = field(repr=False)
    mini_fat: array[int] = field(repr=False)
    difat: tuple[int, ...] = field(repr=False)
    listers: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.header.offset(len(self.fat))


def plan(header: Header, sizes: Sequence[int], entries: int) -> Layout:
    """The layout of a file like that of `header` with streams of `sizes` bytes and a directory of `entries`.

    In the file follow each other: large streams, mini stream, mini FAT, directory, FAT, DIFAT.
    """
    sector = header.sector_size
    fat = _Fat(header.range_lock_sector)
    mini_fat = array("I")
    starts = [END] * len(sizes)
    for index, size in enumerate(sizes):
        if size >= MINI_CUTOFF:
            starts[index] = fat.chain(-(-size // sector))
        elif size:
            starts[index] = len(mini_fat)
            mini_fat.extend(range(len(mini_fat) + 1, len(mini_fat) + -(-size // MINI_SECTOR) + 1))
            mini_fat[-1] = END
    root_size = len(mini_fat) * MINI_SECTOR
    root_start = fat.chain(-(-root_size // sector))
    mini_fat_sectors = -(-len(mini_fat) * 4 // sector)
    mini_fat_start = fat.chain(mini_fat_sectors)
    directory_sectors = -(-entries * ENTRY // sector)
    directory_start = fat.chain(directory_sectors)
    difat, listers = fat.close(sector // 4)
    planned = replace(
        header,
        directory_sectors=directory_sectors if header.major > 3 else 0,
        fat_sectors=len(difat),
        directory_start=directory_start,
        mini_fat_start=mini_fat_start,
        mini_fat_sectors=mini_fat_sectors,
        difat_start=listers[0] if listers else END,
        difat_sectors=len(listers),
        difat=difat[:HEADER_DIFAT],
    )
    return Layout(planned, tuple(starts), root_start, root_size, fat.following, mini_fat, difat, listers)


class _Fat:
    """A FAT that grows; it steps over the range lock's sector."""

    def __init__(self, range_lock: int | None) -> None:
        self.following = array("I")
        self._lock = _NEVER if range_lock is None else range_lock

    def chain(self, count: int) -> int:
        """A chain of `count` sectors: the first one, or END when there are none."""
        extents = self._take(count)
        for one, other in pairwise(extents):
            self.following[one.first + one.length - 1] = other.first
        if not extents:
            return END
        self.following[extents[-1].first + extents[-1].length - 1] = END
        return extents[0].first

    def close(self, numbers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the FAT and the DIFAT their sectors, which hold `numbers` numbers each."""
        fat = difat = 0
        while True:
            total = len(self.following) + fat + difat
            total += len(self.following) <= self._lock < total
            needed = -(-total // numbers)
            listing = -(-max(needed - HEADER_DIFAT, 0) // (numbers - 1))
            if (needed, listing) == (fat, difat):
                return self._marked(fat, FAT_SECTOR), self._marked(difat, DIFAT_SECTOR)
            fat, difat = needed, listing

    def _marked(self, count: int, mark: int) -> tuple[int, ...]:
        numbers = [first + index for first, length in self._take(count) for index in range(length)]
        for number in numbers:
            self.following[number] = mark
        return tuple(numbers)

    def _take(self, count: int) -> list[Extent]:
        extents = []
        while count:
            at = len(self.following)
            if at == self._lock:
                self.following.append(END)
                continue
            length = count if at > self._lock else min(count, self._lock - at)
            self.following.extend(range(at + 1, at + length + 1))
            extents.append(Extent(at, length))
            count -= length
        return extents
