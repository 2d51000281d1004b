"""Compound files with as large a directory or table as is asked for (MS-CFB): nothing of ours is used here."""

from __future__ import annotations

import struct
from pathlib import Path

from support.formats.compound_builder import DIFAT, END, FAT, FREE, MSI

_SECTOR = 512
_LISTED, _PER_SECTOR = 109, 128
_HEADER = struct.Struct("<8s16sHHHHHH4x9I")


def large_directory(entries: int) -> bytes:
    """A package whose root has so many entries less one, empty streams with long names, in one balanced tree."""
    links: dict[int, tuple[int, int]] = {}

    def place(first: int, end: int) -> int:
        if first >= end:
            return FREE
        middle = (first + end) // 2
        links[middle] = place(first, middle), place(middle + 1, end)
        return middle

    top = place(1, entries)
    streams = (_entry(f"{number:031}", 2, *links[number]) for number in range(1, entries))
    directory = _entry("Root Entry", 5, child=top, class_id=MSI) + b"".join(streams)
    directory += bytes(-len(directory) % _SECTOR)
    return _file(directory)


def large_fat(path: Path, sectors: int) -> None:
    """A package whose header and DIFAT name so many sectors as FAT sectors, all but a few of them holes."""
    listers = -(-(sectors - _LISTED) // (_PER_SECTOR - 1))
    numbers = range(listers + 1, listers + 1 + sectors)
    with path.open("wb") as file:
        file.write(_header(sectors, 0, 1, listers, list(numbers[:_LISTED])))
        file.write(_entry("Root Entry", 5, class_id=MSI).ljust(_SECTOR, b"\0"))
        file.write(_listing(list(numbers[_LISTED:]), 1))
        file.truncate(_SECTOR * (listers + sectors + 2))


def large_mini_fat(path: Path, sectors: int) -> None:
    """A package whose mini FAT is a chain of so many sectors, though there is no mini stream."""
    chain = [*range(2, sectors + 1), END]
    directory = _entry("Root Entry", 5, class_id=MSI).ljust(_SECTOR, b"\0")
    data = bytearray(_file(directory, more=chain))
    struct.pack_into("<II", data, 60, 1, sectors)
    path.write_bytes(data)


def _file(directory: bytes, more: list[int] | None = None) -> bytes:
    """The directory from sector 0 on, after it sectors of zeros that are linked as `more`, FAT and DIFAT."""
    own, extra = len(directory) // _SECTOR, more or []
    fat = difat = 0
    while True:
        needed = -(-(own + len(extra) + fat + difat) // _PER_SECTOR)
        listing = -(-max(needed - _LISTED, 0) // (_PER_SECTOR - 1))
        if (needed, listing) == (fat, difat):
            break
        fat, difat = needed, listing
    first = own + len(extra)
    table = [*range(1, own), END, *extra, *[FAT] * fat, *[DIFAT] * difat]
    table += [FREE] * (fat * _PER_SECTOR - len(table))
    numbers = list(range(first, first + fat))
    header = _header(fat, 0, first + fat if difat else END, difat, numbers[:_LISTED])
    body = directory + bytes(len(extra) * _SECTOR) + struct.pack(f"<{len(table)}I", *table)
    return header + body + _listing(numbers[_LISTED:], first + fat)


def _header(fat: int, directory: int, difat: int, listers: int, numbers: list[int]) -> bytes:
    fields = (0x3E, 3, 0xFFFE, 9, 6, 0)
    counts = (0, fat, directory, 0, 4096, END, 0, difat, listers)
    listed = numbers + [FREE] * (_LISTED - len(numbers))
    return _HEADER.pack(bytes.fromhex("d0cf11e0a1b11ae1"), bytes(16), *fields, *counts) + struct.pack("<109I", *listed)


def _listing(numbers: list[int], first: int) -> bytes:
    """The DIFAT sectors, neighbours from sector `first` on."""
    step = _PER_SECTOR - 1
    pieces = [numbers[at : at + step] for at in range(0, len(numbers), step)]
    return b"".join(
        struct.pack(
            "<128I", *piece, *[FREE] * (step - len(piece)), first + index + 1 if piece is not pieces[-1] else END
        )
        for index, piece in enumerate(pieces)
    )


def _entry(
    name: str, kind: int, left: int = FREE, right: int = FREE, child: int = FREE, class_id: bytes = bytes(16)
) -> bytes:
    encoded = name.encode("utf-16-le")
    links = (1, left, right, child)
    return struct.pack("<64sHBBIII16s4x16xIQ", encoded, len(encoded) + 2, kind, *links, class_id, END, 0)
