"""ZIP archives as packers write them, record by record: plain, or the way of MakeAppx with descriptors and Zip64."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 1 << 16


@dataclass(frozen=True)
class Part:
    """An entry to write. `data` is what it unpacks to."""

    name: str
    data: bytes = b""
    deflate: bool = False
    descriptor: bool = False
    flags: int = 0
    extra: bytes = b""

    @property
    def blocks(self) -> list[bytes]:
        """The packed blocks of 64 KiB each; the last ends the stream where it is deflated."""
        plain = [self.data[at : at + BLOCK] for at in range(0, len(self.data), BLOCK)]
        if not self.deflate:
            return plain
        packer = zlib.compressobj(wbits=-15)
        return [packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH) for block in plain]

    @property
    def packed(self) -> bytes:
        """The packed data."""
        return b"".join(self.blocks) + (zlib.compressobj(wbits=-15).flush() if self.deflate else b"")

    @property
    def encoded(self) -> bytes:
        """The name as it stands in the archive."""
        return self.name.encode()

    @property
    def header_size(self) -> int:
        """Bytes of its local header."""
        return 30 + len(self.encoded) + len(self.extra)


def build_zip(parts: Sequence[Part], *, zip64: bool = False, comment: bytes = b"") -> bytes:
    """The archive; with `zip64` the end records, the numbers of each record and the disk numbers are MakeAppx's."""
    data, directory = b"", b""
    for part in parts:
        offset = len(data)
        flags = part.flags | (8 if part.descriptor else 0)
        packed, crc = part.packed, zlib.crc32(part.data)
        told = (0, 0, 0) if part.descriptor else (crc, len(packed), len(part.data))
        common = (45 if zip64 else 20, flags, 8 if part.deflate else 0, 0, 0x21)
        data += struct.pack("<4s5H3I2H", b"PK\3\4", *common, *told, len(part.encoded), len(part.extra))
        data += part.encoded + part.extra + packed
        if part.descriptor:
            data += struct.pack("<4sI2Q" if zip64 else "<4sI2I", b"PK\7\x08", crc, len(packed), len(part.data))
        extra, numbers, place = part.extra, (len(packed), len(part.data)), offset
        if zip64:
            extra += struct.pack("<2H3Q", 1, 24, len(part.data), len(packed), offset)
            numbers, place = (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
        fields = (*common, crc, *numbers, len(part.encoded), len(extra), 0, 0, 0, 0, place)
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, *fields) + part.encoded + extra
    return data + directory + _end(len(parts), len(directory), len(data), zip64, comment)


def _end(count: int, size: int, offset: int, zip64: bool, comment: bytes) -> bytes:
    if not zip64:
        return struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)
    return record + locator + struct.pack("<4s4H2IH", b"PK\5\6", *[0xFFFF] * 4, *[0xFFFFFFFF] * 2, len(comment))


def many_entries(count: int, length: int) -> bytes:
    """A NuGet package of `count` empty files with names of `length` characters, and its .nuspec."""
    names = [*(f"{number:0{length}}" for number in range(count)), "a.nuspec"]
    data, directory = bytearray(), bytearray()
    for name in names:
        common, sizes = (20, 0, 0, 0, 0x21), (0, 0, 0, len(name))
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, *common, *sizes, 0, 0, 0, 0, 0, len(data))
        directory += name.encode()
        data += struct.pack("<4s5H3I2H", b"PK\3\4", *common, *sizes, 0) + name.encode()
    offset, size = len(data), len(directory)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, len(names), len(names), size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(data + directory) + record + locator + end
