"""The archive to be written: kept entries keep their bytes, new ones follow them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.zip.archive import Archive
from kspsign.authenticode.zip.records import CENTRAL, CENTRAL_MAGIC, LOCAL, LOCAL_MAGIC, STORED, U32, ZipEntry

_VERSION, _ZIP64_VERSION = 20, 45
_FIRST_OF_1980 = 0x0021  # MS-DOS date without a time: an archive written twice is the same


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A new entry, stored: its ASCII name and its content, far below 4 GiB."""

    name: str
    content: bytes

    @property
    def raw(self) -> bytes:
        """Local header and data."""
        return stored_header(self.name, zlib.crc32(self.content), len(self.content)) + self.content

    def record(self, offset: int) -> bytes:
        """Central directory record, for the local header at `offset`."""
        return stored_record(self.name, zlib.crc32(self.content), len(self.content), offset)


def stored_header(name: str, crc: int, size: int) -> bytes:
    """The local header of a stored entry with that ASCII name and content, far below 4 GiB."""
    header = LOCAL.pack(LOCAL_MAGIC, _VERSION, 0, STORED, 0, _FIRST_OF_1980, crc, size, size, len(name), 0)
    return header + name.encode("ascii")


def stored_record(name: str, crc: int, size: int, offset: int) -> bytes:
    """Its central directory record, with a Zip64 field where the local header's `offset` needs it."""
    extra, version = b"", _VERSION
    if offset >= U32:
        extra, offset, version = b"\1\0\x08\0" + offset.to_bytes(8, "little"), U32, _ZIP64_VERSION
    sizes = (crc, size, size, len(name), len(extra))
    fields = (_ZIP64_VERSION, version, 0, STORED, 0, _FIRST_OF_1980, *sizes, 0, 0, 0, 0, offset)
    return CENTRAL.pack(CENTRAL_MAGIC, *fields) + name.encode("ascii") + extra


@dataclass(frozen=True, slots=True)
class Plan:
    """`kept` entries of `source` in the order of their data, and `added` members after them.

    `sort` puts the central directory in the order of the data; else what stays keeps its order there.
    """

    source: Archive
    kept: tuple[ZipEntry, ...]
    added: tuple[ZipMember, ...] = ()
    sort: bool = False

    def tail(self) -> bytes:
        """Central directory and end records."""
        records: list[tuple[int, bytes]] = []
        offset = 0
        for entry in self.kept:
            records.append((entry.number, entry.moved(offset)))
            offset += entry.end - entry.offset
        for number, member in enumerate(self.added):
            records.append((len(self.source.entries) + number, member.record(offset)))
            offset += len(member.raw)
        if not self.sort:
            records.sort()
        directory = b"".join(record for _, record in records)
        return directory + self.source.end.records(len(records), len(directory), offset)

    def write(self, target: BinaryIO) -> None:
        """Write the archive, copying what stays from the source's file."""
        target.writelines(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Every byte of the archive, in order."""
        with self.source.snapshot.open() as file:
            for start, end in self._runs():
                file.seek(self.source.start + start)
                yield from stretch(file, end - start)
        yield from (member.raw for member in self.added)
        yield self.tail()

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Stretches of the source that stay, as long as they get."""
        start = end = 0
        for entry in self.kept:
            if entry.offset != end:
                yield start, end
                start = entry.offset
            end = entry.end
        yield start, end
