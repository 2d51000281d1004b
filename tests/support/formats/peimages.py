"""PE images of any shape, and an independent look at their parts (PE Format): nothing of ours is used here."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class PeParts:
    """File offsets of what a signature touches or covers."""

    pe: int
    checksum: int
    directory: int
    section_table: int
    sections: tuple[tuple[int, int], ...]
    table: int
    table_size: int
    size: int

    @property
    def signature(self) -> int:
        """Where the first signature's DER begins."""
        return self.table + 8

    @property
    def sections_end(self) -> int:
        """Where the last section's raw data ends."""
        return max((start + length for start, length in self.sections), default=0)


def parts(data: bytes) -> PeParts:
    """Where everything is in the image `data`."""
    pe = struct.unpack_from("<I", data, 0x3C)[0]
    count, optional_size = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
    directory = pe + 24 + {0x10B: 96, 0x20B: 112}[struct.unpack_from("<H", data, pe + 24)[0]] + 4 * 8
    section_table = pe + 24 + optional_size
    rows = [struct.unpack_from("<II", data, section_table + 40 * index + 16) for index in range(count)]
    table, table_size = struct.unpack_from("<II", data, directory)
    sections = tuple((offset, size) for size, offset in rows if size)
    return PeParts(pe, pe + 24 + 64, directory, section_table, sections, table, table_size, len(data))


def page_blob(data: bytes, algorithm: str = "sha256", page: int = 4096) -> bytes:
    """The image's page hashes by the book, sections in the order of the section table."""
    found = parts(data)
    headers = struct.unpack_from("<I", data, found.pe + 24 + 60)[0]
    head = data[: found.checksum] + data[found.checksum + 4 : found.directory] + data[found.directory + 8 : headers]
    entries = [(0, head + bytes(page - headers))]
    for start, size in found.sections:
        raw = data[start : start + size]
        entries += [(start + at, raw[at : at + page].ljust(page, b"\0")) for at in range(0, size, page)]
    blob = b"".join(struct.pack("<I", at) + hashlib.new(algorithm, content).digest() for at, content in entries)
    end = sum(found.sections[-1]) if found.sections else 0
    return blob + struct.pack("<I", end) + bytes(hashlib.new(algorithm).digest_size)


def build_pe(  # noqa: PLR0913 - an image has that many sides, and a test turns one of them
    *,
    plus: bool = True,
    machine: int = 0x8664,
    subsystem: int = 3,
    header_at: int = 0x80,
    alignment: int = 512,
    section_alignment: int = 0x1000,
    sections: tuple[bytes, ...] = (b"\xc3" * 700, b"data" * 50),
    directories: int = 16,
    overlay: bytes = b"",
) -> bytes:
    """An image with these raw sections at `alignment`, its PE header at `header_at`; the checksum is not set."""
    optional_size = (112 if plus else 96) + 8 * directories
    headers = header_at + 24 + optional_size + 40 * len(sections)
    start = headers + -headers % alignment
    rows, body, virtual = b"", b"", 0x1000
    for index, content in enumerate(sections):
        raw = content + bytes(-len(content) % alignment)
        rows += struct.pack(
            "<8sIIII12xI", f".s{index}".encode(), len(content), virtual, len(raw), start + len(body), 0x60000020
        )
        body += raw
        virtual += len(raw) + -len(raw) % 0x1000
    optional = bytearray(optional_size)
    struct.pack_into("<H", optional, 0, 0x20B if plus else 0x10B)
    struct.pack_into("<II", optional, 32, section_alignment, alignment)
    struct.pack_into("<II", optional, 56, virtual, start)
    struct.pack_into("<H", optional, 68, subsystem)
    struct.pack_into("<I", optional, (108 if plus else 92), directories)
    dos = bytearray(header_at)
    dos[:2] = b"MZ"
    struct.pack_into("<I", dos, 0x3C, header_at)
    coff = struct.pack("<4sHH12xHH", b"PE\0\0", machine, len(sections), optional_size, 0x0022)
    image = bytes(dos) + coff + bytes(optional) + rows
    return image + bytes(start - len(image)) + body + overlay


def checksum(data: bytes) -> int:
    """The image's checksum by the book: 16-bit words with carry, the field itself as zero, plus the size."""
    field = parts(data).checksum
    padded = data[:field] + bytes(4) + data[field + 4 :] + bytes(len(data) % 2)
    total = sum(struct.unpack(f"<{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total) + len(data)


def digest(data: bytes, algorithm: str = "sha256") -> str:
    """The image's Authenticode digest (hex, upper case): all but checksum, certificate entry and table, padded to 8."""
    found = parts(data)
    end = found.table or len(data)
    hashed = data[: found.checksum] + data[found.checksum + 4 : found.directory] + data[found.directory + 8 : end]
    return hashlib.new(algorithm, hashed + bytes(-end % 8)).hexdigest().upper()


def with_table(data: bytes, table: bytes) -> bytes:
    """The signed image with `table` as its certificate table, its entry corrected, its checksum set anew."""
    found = parts(data)
    return with_checksum(
        patched(data[: found.table], found.directory, struct.pack("<II", found.table, len(table))) + table
    )


def with_checksum(data: bytes) -> bytes:
    """The image with the checksum that its content gives, so that no other check is decided by it."""
    return patched(data, parts(data).checksum, struct.pack("<I", checksum(data)))


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with `value` written at `offset`."""
    return data[:offset] + value + data[offset + len(value) :]


def flipped(data: bytes, offset: int, mask: int = 0x01) -> bytes:
    """`data` with the bits of `mask` turned in one byte."""
    return patched(data, offset, bytes([data[offset] ^ mask]))
