"""Changes of an image: the certificate table, the directory that names it, and the headers."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import partial

from generative.file_changes import FileChange
from support.formats.peimages import parts, patched, with_checksum, with_table


def image_changes(data: bytes, source: random.Random) -> Iterator[FileChange]:
    found = parts(data)
    table = data[found.table :]
    length = struct.unpack_from("<I", table)[0]
    entry, rest = table[: length + -length % 8], table[length + -length % 8 :]
    stray = struct.pack("<IHH", 24, 0x0200, 0x0002) + b"payload" * 2 + b"\0\0"
    tables = {
        "entry repeated": entry + entry + rest,
        "entry dropped": rest,
        "stray entry after": table + stray,
        "stray entry before": stray + table,
        "padding": table + bytes(8),
        "payload in the padding": table[:-1] + b"p",
    }
    for field, at, size in (("length", 0, 4), ("revision", 4, 2), ("type", 6, 2)):
        value = int.from_bytes(table[at : at + size], "little")
        for other in {0, value + 1, value - 1, value + 8, value - 8, source.getrandbits(8 * size)} - {value}:
            masked = other & ((1 << 8 * size) - 1)
            tables[f"{field} {masked:#x}"] = patched(table, at, masked.to_bytes(size, "little"))
    for name, new in tables.items():
        yield FileChange("table", name, found.table, partial(_with_table, data, new))
    headers = range(found.pe, min(1024, found.table))
    for at in source.sample(list(headers), min(200, len(headers))):
        changed = patched(data, at, bytes([data[at] ^ 1 << source.randrange(8)]))
        yield FileChange("header", "", at, partial(_rechecked, changed))


def _with_table(data: bytes, table: bytes) -> bytes:
    return with_checksum(with_table(data, table))


def _rechecked(data: bytes) -> bytes:
    try:
        return with_checksum(data)
    except (struct.error, LookupError, AssertionError):
        return data
