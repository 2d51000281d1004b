"""The sum behind the PE checksum equals a plain loop over 16-bit words, however the data is cut."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from kspsign.authenticode.pe.checksum import WordSum, word_sum

SIZES = (0, 1, 2, 3, 7, 8, 255, 1000, 65534, 65535, 65536, 65537, 131072, 200001)


def by_the_book(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    return int(sum(struct.unpack(f"<{len(padded) // 2}H", padded)) % 0xFFFF)


@pytest.mark.parametrize("size", SIZES)
def test_it_equals_the_plain_loop(size: int) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311 - test data
    assert word_sum(data) == word_sum(memoryview(data)) == by_the_book(data)
    assert word_sum(b"\xff" * size) == by_the_book(b"\xff" * size)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_add_up_wherever_the_data_is_cut(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    data = chance.randbytes(chance.randrange(1, 150_000))
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(5))})
    pieces = itertools.pairwise(cuts)
    total = sum(word_sum(data[start:stop], odd=bool(start & 1)) for start, stop in pieces)
    assert total % 0xFFFF == by_the_book(data)


def test_an_odd_start_swaps_the_bytes_of_each_word() -> None:
    assert word_sum(b"\x12", odd=True) == 0x1200
    assert word_sum(b"\x12\x34", odd=True) == 0x1234


@pytest.mark.parametrize("byte", [b"\0", b"\x01", b"\xff"])
def test_a_long_stream_in_pieces_of_any_length(byte: bytes) -> None:
    """What OpenSSL reckons with wraps around many thousand times here."""
    chance = random.Random(byte)  # noqa: S311 - test data
    data, words, position = byte * (24 << 20), WordSum(), 0
    while position < len(data):
        size = chance.choice((1, 3, 7, 8, 9, 16, 1000, 1 << 20))
        words.update(memoryview(data)[position : position + size])
        position += size
    assert words.value() == int.from_bytes(data, "little") % 0xFFFF
