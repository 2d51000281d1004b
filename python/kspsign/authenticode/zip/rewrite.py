"""Writes an archive again with other content in some entries: what is not replaced keeps its bytes.

A replaced entry keeps its name, attributes, dates, comment, extra fields, flags and method; checksum and sizes are
written where its headers and data descriptor have them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.zip.archive import Archive
from kspsign.authenticode.zip.plan import ZipMember
from kspsign.authenticode.zip.records import (
    CENTRAL,
    DEFLATED,
    DESCRIPTOR,
    DESCRIPTOR_MAGIC,
    LOCAL,
    ZipEntry,
    restate,
)
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_LEVELS = {0: zlib.Z_DEFAULT_COMPRESSION, 2: zlib.Z_BEST_COMPRESSION, 4: 3, 6: zlib.Z_BEST_SPEED}
"""The compression level of the flags' two bits (APPNOTE.TXT 4.4.4)."""


class Packing:
    """Packs the new content of an entry, with its method; `crc`, `size` and `packed` count what went through."""

    def __init__(self, entry: ZipEntry) -> None:
        self.crc = self.size = self.packed = 0
        level = _LEVELS[entry.flags & 6]
        self._deflate = zlib.compressobj(level, wbits=-zlib.MAX_WBITS) if entry.method == DEFLATED else None

    def pack(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The packed data of all the content."""
        for content in pieces:
            self.crc = zlib.crc32(content, self.crc)
            self.size += len(content)
            yield from self._out(self._step(content))
        yield from self._out(self._end())

    def _step(self, content: bytes) -> bytes:
        return content if self._deflate is None else self._deflate.compress(content)

    def _end(self) -> bytes:
        return b"" if self._deflate is None else self._deflate.flush()

    def _out(self, data: bytes) -> Iterator[bytes]:
        if data:
            self.packed += len(data)
            yield data


class ArchiveWriter:
    """Writes the entries of `archive`, one after the other, to `target`, which can be read and written."""

    def __init__(self, archive: Archive, source: BinaryIO, target: BinaryIO) -> None:
        self._archive, self._source, self._target = archive, source, target
        self._start = target.tell()
        self._records: list[tuple[int, bytes]] = []

    def keep(self, entry: ZipEntry) -> int:
        """Copy the entry with every byte of its headers and data; the offset of its data in the new archive."""
        offset = self._target.tell() - self._start
        self._source.seek(self._archive.start + entry.offset)
        self._target.writelines(stretch(self._source, entry.end - entry.offset))
        self._add(entry, offset, entry.crc, (entry.size, entry.packed))
        return offset + entry.data - entry.offset

    def replace(self, entry: ZipEntry, pieces: Iterable[bytes], packing: Packing | None = None) -> int:
        """Write the entry with the content of `pieces`; the offset of its data in the new archive. Raises ArtifactError
        (ERROR_NOT_SUPPORTED) when its headers have no room for its size."""
        packing = packing or Packing(entry)
        target, begin = self._target, self._target.tell()
        offset = begin - self._start
        self._source.seek(self._archive.start + entry.offset)
        header = self._source.read(entry.data - entry.offset)
        target.write(header)
        target.writelines(packing.pack(pieces))
        numbers = (packing.size, packing.packed)
        try:
            target.write(self._descriptor(entry, packing))
            end = target.tell()
            target.seek(begin)
            target.write(_new_header(header, entry, packing))
            target.seek(end)
        except ValueError as full:
            raise no_room(entry, str(full)) from full
        self._add(entry, offset, packing.crc, numbers)
        return offset + len(header)

    def add(self, member: ZipMember) -> None:
        """Write a new entry; it follows all others in the directory."""
        self._records.append((len(self._archive.entries), member.record(self._target.tell() - self._start)))
        self._target.write(member.raw)

    def finish(self) -> None:
        """Write directory and end, in the order that the directory had."""
        offset = self._target.tell() - self._start
        directory = b"".join(record for _, record in sorted(self._records))
        self._target.write(directory)
        self._target.write(self._archive.end.records(len(self._records), len(directory), offset))

    def _add(self, entry: ZipEntry, offset: int, crc: int, numbers: tuple[int, int]) -> None:
        old = (entry.size, entry.packed, entry.offset)
        try:
            record = restate(entry.record, CENTRAL, old, crc, (*numbers, offset))
        except ValueError as full:
            raise no_room(entry, str(full)) from full
        self._records.append((entry.number, record))

    @staticmethod
    def _descriptor(entry: ZipEntry, packing: Packing) -> bytes:
        """What follows the data: a data descriptor in the form that the entry had (4.3.9), if it had one."""
        if not entry.flags & DESCRIPTOR:
            return b""
        length = entry.end - entry.data - entry.packed
        mark = b"" if length % 8 else DESCRIPTOR_MAGIC
        width = (length - 4 - len(mark)) // 2
        if max(packing.size, packing.packed) >> 8 * width:
            raise ValueError("its data descriptor has no room for 4 GiB or more")
        numbers = (packing.packed.to_bytes(width, "little"), packing.size.to_bytes(width, "little"))
        return b"".join((mark, packing.crc.to_bytes(4, "little"), *numbers))


def _new_header(header: bytes, entry: ZipEntry, packing: Packing) -> bytes:
    """The local header with the new numbers, but for those that it leaves to the data descriptor."""
    crc, packed, size = LOCAL.unpack_from(header)[6:9]
    if not entry.flags & DESCRIPTOR or crc or (packed and not entry.crc):
        return restate(header, LOCAL, (entry.size, entry.packed), packing.crc, (packing.size, packing.packed))
    if packed or not size:
        return header
    return restate(header, LOCAL, (entry.size, 0), 0, (packing.size, 0))  # Info-ZIP states the size nevertheless


def no_room(entry: ZipEntry, why: str) -> ArtifactError:
    """The error for an entry whose headers can't state its new size or place."""
    return ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED,
        f"{entry.name} can't be written again: {why}",
        remedy="Pack the archive again with Zip64, or exclude the files in it (!pattern).",
    )
