"""The checksum in a PE header (IMAGHELP, CheckSumMappedFile): the folded sum of the file's 16-bit words, plus its size.

Python has nothing that adds words at the speed of memory, but OpenSSL has: Poly1305 with the key r = 1, s = 0 adds
16-byte blocks. What it leaves of their sum S is T = S - e modulo M = 2**128 - 1: it reckons modulo 2**130 - 5, cuts
the result to 128 bits and puts a bit on top of each block, and each of those times shifts T by a few units, so that e
is unknown, but no larger than a few times the number of blocks. Of the data turned by eight bytes the sum is 2**64 * S
modulo M, and Poly1305 leaves T' = 2**64 * S - e'. The difference 2**64 * T' - T = e - 2**64 * e' has both e and e' in
halves of its own. 2**16 - 1 divides M, so that S modulo M has the sum of words in it.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.poly1305 import Poly1305

_KEY: Final = (1).to_bytes(32, "little")
_BLOCK: Final = 16
_TURN: Final = 8
_MODULUS: Final = (1 << 128) - 1
_HALF: Final = 1 << 64
_STEP: Final = 128 << 10
"""Bytes that are added up at a time: the interpreter is held meanwhile, and another thread waits for it."""


class WordSum:
    """Adds 16-bit little-endian words modulo 65535, of data that comes in pieces of any length."""

    def __init__(self) -> None:
        self._straight, self._turned = Poly1305(_KEY), Poly1305(_KEY)
        self._first = b""
        self._size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next piece."""
        self._size += len(data)
        for at in range(0, len(data), _STEP):
            self._add(data[at : at + _STEP])

    def value(self) -> int:
        """The sum; an odd last byte counts as a word's lower half. Nothing can be added any more."""
        self.update(bytes(-self._size % _BLOCK))
        self._turned.update(self._first)
        straight = int.from_bytes(self._straight.finalize(), "little")
        turned = int.from_bytes(self._turned.finalize(), "little")
        difference = (turned * _HALF - straight) % _MODULUS
        if difference > _MODULUS // 2:
            difference -= _MODULUS
        error = (difference + _HALF // 2) % _HALF - _HALF // 2
        return (straight + error) % _MODULUS % 0xFFFF

    def _add(self, data: bytes | memoryview) -> None:
        self._straight.update(data)
        if missing := _TURN - len(self._first):
            self._first += bytes(data[:missing])
            data = data[missing:]
        self._turned.update(data)


def word_sum(data: bytes | memoryview, *, odd: bool = False) -> int:
    """Sum of the 16-bit little-endian words of `data` modulo 65535; `odd` when it starts at an odd offset."""
    words = WordSum()
    words.update(data)
    total = words.value()
    return total * 256 % 0xFFFF if odd else total


def image_checksum(words: int, size: int) -> int:
    """The CheckSum field of a file of `size` bytes with the sum `words`."""
    # The folded one's-complement sum of a file that is not all zero is never 0; a remainder of 0 then means 0xFFFF.
    return ((words % 0xFFFF or 0xFFFF) + size) & 0xFFFFFFFF
