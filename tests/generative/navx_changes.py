"""Changes of a Business Central package: the numbers of its header, its block, and what stands around both."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from generative.file_changes import FileChange
from support.formats.navx_samples import block
from support.formats.peimages import patched

_HEADER = {"size": (4, 4), "version": (8, 4), "id": (12, 16), "length": (28, 8), "mark": (36, 4)}
_PAYLOAD = b"payload "


def navx_changes(data: bytes) -> Iterator[FileChange]:
    start = block(data)
    content, stored = data[:start], data[start:]
    message, place = stored[4:-8], stored[-8:]
    for name, (at, size) in _HEADER.items():
        value = int.from_bytes(data[at : at + size], "little")
        for other in {0, value + 1, value - 1, value + 8, value ^ 1 << 8 * size - 1, value + len(stored)} - {value}:
            new = (other & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            yield FileChange("header", f"{name} {other:#x}", at, partial(patched, data, at, new))

    def change(what: str, new: bytes) -> FileChange:
        return FileChange("block", what, start, lambda: new)

    for filler in (b"\0", bytes(8), _PAYLOAD, stored, b"NXSB", b"NAVX" + data[4:40]):
        name = f"{filler[:8]!r} ({len(filler)})"
        longer = patched(content, 28, struct.pack("<q", start - 40 + len(filler)))
        yield change(f"{name} before all", filler + data)
        yield change(f"{name} before it", content + filler + stored)
        yield change(f"{name} before it, in the content", longer + filler + _block(message, start + len(filler)))
        yield change(f"{name} before the message", content + _block(filler + message, start))
        yield change(f"{name} after the message", content + _block(message + filler, start))
        yield change(f"{name} after it", data + filler)
        yield change(f"{name} in place of its number", content + stored[:-8] + filler + b"NXSB")
    for by in (-1, 1, 1 << 31):
        yield change(f"its number {by:+}", content + _block(message, (start + by) & 0xFFFFFFFF))
    yield change("twice", data + stored)
    yield change("twice, the second one with its own place", data + _block(message, len(data)))
    yield change("without number", content + stored[:-8] + b"NXSB")
    yield change("without its end", content + stored[:-4])
    yield change("without its begin", content + stored[4:])
    yield change("without message", content + stored[:4] + place)
    yield change("the content alone", content)


def _block(message: bytes, place: int) -> bytes:
    return b"NXSB" + message + struct.pack("<I", place) + b"NXSB"
