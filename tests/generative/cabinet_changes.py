"""Changes of a cabinet: each number of its head, and its reserve."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import partial

from generative.file_changes import FileChange
from support.formats.peimages import patched

_CAB_NUMBERS = {
    "checksum": (4, 4), "size": (8, 4), "reserved": (12, 4), "files": (16, 4), "reserved 3": (20, 4),
    "version": (24, 2), "folders": (26, 2), "file count": (28, 2), "flags": (30, 2), "set": (32, 2),
    "number": (34, 2), "reserve size": (36, 2), "folder reserve": (38, 1), "data reserve": (39, 1),
    "first length": (40, 2), "second length": (42, 2), "place": (44, 4), "length": (48, 4), "zeros": (52, 8),
}  # fmt: skip


def cabinet_changes(data: bytes, source: random.Random) -> Iterator[FileChange]:
    for name, (at, size) in _CAB_NUMBERS.items():
        value = int.from_bytes(data[at : at + size], "little")
        others = {
            0,
            1,
            value + 1,
            value - 1,
            value + 8,
            value + 20,
            value ^ 0x80,
            (1 << 8 * size) - 1,
            source.getrandbits(8),
        }
        for other in sorted(each & ((1 << 8 * size) - 1) for each in others):
            if other != value:
                new = other.to_bytes(size, "little")
                yield FileChange(f"head {name}", f"{other:#x}", at, partial(patched, data, at, new))
    for more in (1, 8, 100):
        for first in (False, True):
            yield FileChange("reserve", f"{more} longer", 40, partial(_longer_reserve, data, more, first=first))


def _longer_reserve(data: bytes, more: int, *, first: bool) -> bytes:
    """The cabinet with `more` bytes in its reserve, all offsets moved: as another program's structure, or after the
    signature's place."""
    (total,), (files,) = struct.unpack_from("<I", data, 8), struct.unpack_from("<I", data, 16)
    (reserve,) = struct.unpack_from("<H", data, 36)
    (folders,) = struct.unpack_from("<H", data, 26)
    (place,) = struct.unpack_from("<I", data, 44)
    head = bytearray(data[: 40 + reserve])
    struct.pack_into("<I", head, 8, total + more)
    struct.pack_into("<I", head, 16, files + more)
    struct.pack_into("<H", head, 36, reserve + more)
    struct.pack_into("<I", head, 44, place + more)
    rest = bytearray(data[40 + reserve :])
    for number in range(folders):
        (start,) = struct.unpack_from("<I", rest, number * 8)
        struct.pack_into("<I", rest, number * 8, start + more)
    payload = b"p" * more
    if first:
        struct.pack_into("<H", head, 40, more)
        return bytes(head[:44]) + payload + bytes(head[44:]) + bytes(rest)
    return bytes(head) + payload + bytes(rest)
