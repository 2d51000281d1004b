"""Rewrites a compound file with streams of its root added or replaced.

Everything else keeps its bytes, names, class identifiers, state bits and times. The copy has no unallocated sector
and no data that belongs to nothing: Windows refuses signatures of files that have (MS-CFB knows no such rule).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from kspsign.authenticode.compound.allocation import little_endian
from kspsign.authenticode.compound.directory import BLANK, STREAM, DirectoryEntry, Links, Storage, balanced
from kspsign.authenticode.compound.header import (
    END,
    FREE,
    HEADER_DIFAT,
    MINI_CUTOFF,
    MINI_SECTOR,
    Header,
)
from kspsign.authenticode.compound.layout import Layout, plan
from kspsign.authenticode.compound.read import CompoundFile
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

MAX_SMALL_SECTORS_SIZE = 1 << 31
"""Bytes that a file of version 3, with sectors of 512 bytes, may have."""
_NUMBERS = 1 << 16


@dataclass(slots=True)
class _Directory:
    """The new directory in the making: entries with their links, and what each stream's content is."""

    entries: list[DirectoryEntry] = field(default_factory=list)
    links: list[Links] = field(default_factory=list)
    contents: dict[int, DirectoryEntry | bytes] = field(default_factory=dict)

    def add(self, entry: DirectoryEntry, content: DirectoryEntry | bytes | None = None) -> int:
        """The number of a new entry."""
        self.entries.append(entry)
        self.links.append(Links())
        number = len(self.entries) - 1
        if content is not None:
            self.contents[number] = content
        return number

    def fill(self, number: int, storage: Storage, added: Mapping[bytes, bytes | None]) -> None:
        """Add what `storage`, which is entry `number`, contains, `added` streams in place of those of their name; None
        leaves one out."""
        below = [(self.add(child.entry), child) for child in storage.storages]
        kept = [self.add(stream, stream) for stream in storage.streams if stream.name not in added]
        new = [self.add(_new_stream(name, content), content) for name, content in added.items() if content is not None]
        numbers = [*(index for index, _ in below), *kept, *new]
        top, links = balanced([self.entries[index].name for index in numbers], numbers)
        for link, placed in links.items():
            self.links[link] = placed
        self.links[number] = replace(self.links[number], child=top)
        for child, inner in below:
            self.fill(child, inner, {})


def write_anew(compound: CompoundFile, added: Mapping[bytes, bytes | None], target: BinaryIO) -> None:
    """Write `compound` with `added` as streams of its root (content by UTF-16LE name, none empty) to `target`; a stream
    whose content is None is left out.

    Raises ArtifactError when the result would be larger than its version allows, before anything is written.
    """
    directory = _Directory()
    directory.fill(directory.add(compound.root.entry), compound.root, added)
    layout = plan(
        compound.header,
        [directory.entries[number].size for number in directory.contents],
        len(directory.entries),
    )
    if compound.header.major == 3 and layout.size > MAX_SMALL_SECTORS_SIZE:
        raise too_large()
    placed = dict(zip(directory.contents, layout.starts, strict=True))
    with compound.snapshot.open() as source:
        output = _Output(target, layout.header)
        output.write(layout.header.pack())
        _write_streams(compound, source, directory, output)
        output.write_numbers(layout.mini_fat)
        for number, entry in enumerate(directory.entries):
            start = placed.get(number, entry.start)
            moved = replace(entry, start=start) if number else _root(entry, layout)
            output.write(moved.pack(directory.links[number]))
        output.pad(BLANK)
        output.write_numbers(layout.fat)
        output.write_numbers(array("I", _difat(layout)))


def too_large() -> ArtifactError:
    """The error for a file of version 3 that has no room for a signature."""
    return ArtifactError(
        Hresult.ERROR_BAD_FORMAT,
        "a compound file of version 3 ends at 2 GiB, with the signature it would be larger",
        remedy="Build it with 4096-byte sectors (version 4), or move its cabinets out of the package.",
    )


def _write_streams(compound: CompoundFile, source: BinaryIO, directory: _Directory, output: _Output) -> None:
    sizes = {number: directory.entries[number].size for number in directory.contents}
    for number, content in directory.contents.items():
        if sizes[number] >= MINI_CUTOFF:
            output.write_all(_chunks(compound, source, content))
            output.pad()
    for number, content in directory.contents.items():
        if 0 < sizes[number] < MINI_CUTOFF:
            output.write_all(_chunks(compound, source, content))
            output.pad(unit=MINI_SECTOR)
    output.pad()


def _chunks(compound: CompoundFile, source: BinaryIO, content: DirectoryEntry | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    else:
        yield from compound.read(source, content)


def _new_stream(name: bytes, content: bytes) -> DirectoryEntry:
    return DirectoryEntry(name, STREAM, bytes(16), bytes(4), bytes(16), END, len(content))


def _root(entry: DirectoryEntry, layout: Layout) -> DirectoryEntry:
    return replace(entry, start=layout.root_start, size=layout.root_size)


def _difat(layout: Layout) -> Iterator[int]:
    """The content of the DIFAT sectors: numbers of FAT sectors, at the end of each the next DIFAT sector."""
    per_sector = layout.header.sector_size // 4 - 1
    for index, following in enumerate((*layout.listers[1:], END)[: len(layout.listers)]):
        listed = layout.difat[HEADER_DIFAT + index * per_sector :][:per_sector]
        yield from (*listed, *[FREE] * (per_sector - len(listed)), following)


class _Output:
    """Writes sector after sector; zeros where the range lock is."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._sector = header.sector_size
        lock = header.range_lock_sector
        self._lock = None if lock is None else header.offset(lock)
        self._at = 0

    def write(self, data: bytes) -> None:
        """Write `data`, the range lock's sector in between when it gets there."""
        if self._lock is not None and self._at <= self._lock < self._at + len(data):
            before = self._lock - self._at
            self._file.write(data[:before] + bytes(self._sector))
            self._at += before + self._sector
            data = data[before:]
        self._file.write(data)
        self._at += len(data)

    def write_all(self, chunks: Iterator[bytes]) -> None:
        """Write one after the other."""
        for chunk in chunks:
            self.write(chunk)

    def write_numbers(self, numbers: array[int]) -> None:
        """Write the numbers of a table, which ends with unallocated ones."""
        for start in range(0, len(numbers), _NUMBERS):
            self.write(little_endian(numbers[start : start + _NUMBERS]).tobytes())
        self.pad(struct.pack("<I", FREE))

    def pad(self, filling: bytes = b"\0", unit: int | None = None) -> None:
        """Fill up to the next sector, or the next multiple of `unit`."""
        missing = -self._at % (unit or self._sector)
        self.write(filling * (missing // len(filling)))
