"""The per-cabinet reserve of a cabinet (CFHEADER.abReserve) as signers use it.

Two lengths (16 bit) and the structures that they announce: the first is some other program's, the second the
signature's. That is 16 bytes: offset and size of a signature after the cabinet (32 bit each), and 8 that are zero;
old signers put the signature itself there. What is left of the reserve is zero.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kspsign.certificates.der import message_size

LENGTHS = 4
PLACE = 16


@dataclass(frozen=True, slots=True)
class Reserve:
    """The content of the reserve: `first` is another program's structure, `offset` and `length` say where a signature
    is, `signature` is one inside the reserve, and `fault` is what no signer puts there."""

    first: bytes = field(default=b"", repr=False)
    offset: int = 0
    length: int = 0
    signature: bytes = field(default=b"", repr=False)
    fault: str | None = None


def read_reserve(data: bytes) -> Reserve:
    """The reserve `data`; one that is not built like this is nothing but a fault."""
    if not any(data):
        return Reserve()
    lengths = struct.unpack_from("<HH", data) if len(data) >= LENGTHS else (0, 0)
    end = LENGTHS + sum(lengths)
    first, second, rest = data[LENGTHS : LENGTHS + lengths[0]], data[LENGTHS + lengths[0] : end], data[end:]
    if end > len(data) or 0 < len(second) < PLACE or (any(rest) and not second):
        return Reserve(fault=f"{len(data)} bytes that are not a signer's")
    fault = f"{len(rest)} bytes after the signature's place are not zero" if any(rest) else None
    if len(second) > PLACE:
        size = message_size(second) or len(second)
        if any(second[size:]):
            fault = fault or f"{len(second) - size} bytes after the signature are not zero"
        return Reserve(first, 0, 0, second[:size], fault)
    if any(second[8:]):
        fault = fault or "the signature's place holds more than offset and size"
    offset, length = struct.unpack("<II", second[:8].ljust(8, b"\0"))
    return Reserve(first, offset, length, b"", fault)


def with_place(least: int, first: bytes, offset: int, length: int) -> bytes:
    """A reserve of `least` bytes or more that records a signature of `length` bytes at `offset`."""
    lengths = struct.pack("<HH", len(first), PLACE)
    return (lengths + first + struct.pack("<II8x", offset, length)).ljust(least, b"\0")
