"""Which bytes of a compound file mean nothing (MS-CFB): read anew, nothing of ours is used here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

_END = 0xFFFFFFFA
_MINOR_VERSION, _TRANSACTION = range(24, 26), range(52, 56)
_COLOUR, _TIMES, _SIZE, _SIZE_HIGH = 67, range(100, 116), 120, range(124, 128)
_ROOT, _STREAM = 5, 2
_MINI, _CUTOFF = 64, 4096


@cache
def free_bytes(data: bytes) -> frozenset[int]:
    """Offsets of bytes in a file of version 3 that no reader takes a meaning from: two numbers of the header, colours
    and upper halves of sizes in the directory, the root's times, what follows a stream in its last sector, and whether
    a sector that is not there is free or the end of a chain (the lowest byte of its number)."""
    return frozenset(_free(data))


def _free(data: bytes) -> Iterator[int]:
    yield from (*_MINOR_VERSION, *_TRANSACTION)
    fat = _numbers(data, struct.unpack_from("<109I", data, 76))
    directory, mini_fat_at = struct.unpack_from("<I", data, 48)[0], struct.unpack_from("<I", data, 60)[0]
    for sector in (sector for sector in struct.unpack_from("<109I", data, 76) if sector < _END):
        numbers = range((sector + 1) * 512, (sector + 2) * 512, 4)
        yield from (at for at in numbers if data[at : at + 4] == b"\xff" * 4)
    mini_fat = _numbers(data, _chain(fat, mini_fat_at))
    entries = [(sector + 1) * 512 + at for sector in _chain(fat, directory) for at in range(0, 512, 128)]
    mini_stream = list(_chain(fat, struct.unpack_from("<I", data, entries[0] + 116)[0]))
    for entry in entries:
        kind, (start, size) = data[entry + 66], struct.unpack_from("<II", data, entry + 116)
        if kind not in {_ROOT, _STREAM}:
            continue
        yield entry + _COLOUR
        yield from (entry + position for position in _SIZE_HIGH)
        if kind == _ROOT:
            yield from (entry + position for position in (*_TIMES, _SIZE))
        if kind == _ROOT or size >= _CUTOFF:
            places = [(sector + 1) * 512 + at for sector in _chain(fat, start) for at in range(512)]
        else:
            minis = (mini * _MINI for mini in _chain(mini_fat, start))
            places = [
                (mini_stream[at // 512] + 1) * 512 + at % 512 + position for at in minis for position in range(_MINI)
            ]
        yield from places[size:]


def _numbers(data: bytes, sectors: Iterator[int] | tuple[int, ...]) -> list[int]:
    return [
        number
        for sector in sectors
        if sector < _END
        for number in struct.unpack_from("<128I", data, (sector + 1) * 512)
    ]


def _chain(fat: list[int], start: int) -> Iterator[int]:
    while start < _END:
        yield start
        start = fat[start]
