"""One pass over an archive: its raw bytes, and the unpacked content of its entries."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.snapshot import CHUNK, file_changed
from kspsign.authenticode.zip.archive import Archive, damaged
from kspsign.authenticode.zip.records import DEFLATED, ZipEntry
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding


class Piece(NamedTuple):
    """The next bytes of an archive (`raw`), and the next ones that `entry` unpacks to; either may be empty.

    `entry` is None in central directory and end records.
    """

    entry: ZipEntry | None
    raw: bytes
    content: bytes


class Scan:
    """One pass. `faults` has an entry's fault when it does not unpack to what the directory declares."""

    def __init__(self, archive: Archive) -> None:
        self.faults: dict[str, str] = {}
        self._archive = archive

    def pieces(self, file: BinaryIO, borders: Callable[[ZipEntry], Sequence[int]] = lambda _: ()) -> Iterator[Piece]:
        """Every byte of the archive in `file`, once and in order; raises ArtifactError when the file changed.

        No piece of an entry's packed data reaches across one of its `borders`, offsets there in rising order.
        """
        archive = self._archive
        file.seek(archive.start)
        for entry in archive.entries:
            yield Piece(entry, _exactly(file, entry.data - entry.offset), b"")
            unpacker = _Unpacker(entry)
            for raw in _cut(stretch(file, entry.packed), borders(entry)):
                contents = unpacker.feed(raw)
                yield Piece(entry, raw, next(contents, b""))
                for content in contents:
                    yield Piece(entry, b"", content)
            if fault := unpacker.fault():
                self.faults[entry.name] = fault
            yield Piece(entry, _exactly(file, entry.end - entry.data - entry.packed), b"")
        for raw in stretch(file, archive.size - archive.directory):
            yield Piece(None, raw, b"")

    def finding(self) -> Finding:
        """The check "package-content", once everything was read."""
        for name, fault in self.faults.items():
            return Finding("package-content", f"{name} {fault}", Hresult.APPX_E_CORRUPT_CONTENT)
        return Finding("package-content", "unpacks to what the directory declares")


def unpack(file: BinaryIO, archive: Archive, entry: ZipEntry, limit: int) -> bytes:
    """The unpacked entry, at most `limit` bytes; raises ArtifactError (ERROR_BAD_FORMAT) for more, or damage."""
    if entry.size > limit:
        raise damaged(f"{entry.name} has {entry.size} bytes, which is more than the limit of {limit}")
    return b"".join(unpack_pieces(file, archive, entry))


def unpack_pieces(file: BinaryIO, archive: Archive, entry: ZipEntry) -> Iterator[bytes]:
    """What the entry unpacks to, in pieces, never more than the directory declares.

    Raises ArtifactError (ERROR_BAD_FORMAT) for damage: after the last piece, when it is the checksum.
    """
    file.seek(archive.start + entry.data)
    unpacker = _Unpacker(entry)
    for raw in stretch(file, entry.packed):
        yield from unpacker.feed(raw)
    if fault := unpacker.fault():
        raise damaged(f"{entry.name} {fault}")


class _Unpacker:
    """The unpacked content of one entry, in pieces of bounded size, never more than the directory declares."""

    def __init__(self, entry: ZipEntry) -> None:
        self._entry = entry
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
        self._size = 0
        self._crc = 0
        self._broken = ""

    def feed(self, raw: bytes) -> Iterator[bytes]:
        content = raw
        while (raw or len(content) == CHUNK) and not self._broken:  # a full piece: the inflater may hold more
            try:
                content, raw = self._step(raw)
            except zlib.error as broken:
                self._broken = f"can't be unpacked: {broken}"
                return
            self._size += len(content)
            self._crc = zlib.crc32(content, self._crc)
            if self._size > self._entry.size:
                self._broken = "unpacks to more than the directory declares"
                return
            if content:
                yield content

    def _step(self, raw: bytes) -> tuple[bytes, bytes]:
        if self._inflate is None:
            return raw, b""
        content = self._inflate.decompress(raw, CHUNK)
        if self._inflate.unused_data:
            self._broken = "has bytes after its packed data"
        return content, self._inflate.unconsumed_tail

    def fault(self) -> str:
        """The fault found after everything was fed, empty when there is none."""
        if self._broken:
            return self._broken
        if self._size != self._entry.size or not (self._inflate is None or self._inflate.eof):
            return "unpacks to less than the directory declares"
        return "" if self._crc == self._entry.crc else "does not have the checksum that the directory declares"


def _cut(stretches: Iterator[bytes], borders: Sequence[int]) -> Iterator[bytes]:
    """The same bytes in pieces of which none reaches across a border."""
    at = passed = 0
    for raw in stretches:
        start = 0
        while passed < len(borders) and borders[passed] < at + len(raw):
            if (end := borders[passed] - at) > start:
                yield raw[start:end]
                start = end
            passed += 1
        yield raw[start:] if start else raw
        at += len(raw)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise file_changed()
    return data
