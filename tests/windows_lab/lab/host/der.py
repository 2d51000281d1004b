"""DER by hand (X.690), since the lab's Linux programs have nothing but the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Element(NamedTuple):
    """One element: its first octet, its content, and all of it."""

    tag: int
    content: bytes
    whole: bytes

    @property
    def parts(self) -> list[Element]:
        """The elements inside."""
        return list(elements(self.content))


def elements(data: bytes) -> Iterator[Element]:
    """The elements that follow one another."""
    at = 0
    while at < len(data):
        size, begin = data[at + 1], at + 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(data[at + 2 : begin])
        yield Element(data[at], data[begin : begin + size], data[at : begin + size])
        at = begin + size


def encoded(tag: int, *parts: bytes) -> bytes:
    """One element of these parts."""
    content = b"".join(parts)
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag]) + (bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets) + content
