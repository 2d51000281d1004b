"""Compound files of any shape (MS-CFB): nothing of ours is used here.

Laid out otherwise than ours are: tables first, siblings as a list, streams behind, in pieces when asked for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

FREE, END, FAT, DIFAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC
RANGE_LOCK = 0x7FFFFF00
BLANK = bytes(68) + b"\xff" * 12 + bytes(48)
MSI, MSP, MST = (UUID(f"000c{kind}-0000-0000-c000-000000000046").bytes_le for kind in ("1084", "1086", "1082"))
WORD = UUID("00020906-0000-0000-c000-000000000046").bytes_le


@dataclass(frozen=True)
class Zeros:
    """The content of a large stream of `size` zero bytes, a hole in the file."""

    size: int


@dataclass(frozen=True)
class Folder:
    """A storage: streams and storages by name, class identifier, state bits, times."""

    children: dict[str, bytes | Zeros | Folder]
    class_id: bytes = bytes(16)
    state: bytes = bytes(4)
    times: bytes = bytes(16)


@dataclass
class _Entry:
    name: str
    kind: int
    folder: Folder
    start: int = 0
    size: int = 0
    child: int = FREE
    right: int = FREE

    def pack(self) -> bytes:
        name, of = self.name.encode("utf-16-le"), self.folder
        links = (1, FREE, self.right, self.child)
        rest = (of.class_id, of.state, of.times, self.start, self.size)
        return struct.pack("<64sHBBIII16s4s16sIQ", name, len(name) + 2, self.kind, *links, *rest)


def write_compound(path: Path, root: Folder, *, major: int = 3, pieces: bool = False) -> None:
    """Write a compound file of version `major`; with `pieces` no two sectors of a stream are neighbours."""
    with path.open("wb") as file:
        _Builder(file, 512 if major == 3 else 4096, pieces=pieces).build(root)


class _Builder:
    def __init__(self, file: BinaryIO, sector: int, *, pieces: bool) -> None:
        self.file, self.sector, self.pieces = file, sector, pieces
        self.entries: list[_Entry] = []
        self.large: list[tuple[_Entry, bytes | Zeros]] = []
        self.mini, self.mini_fat = bytearray(), list[int]()
        self.fat: list[int] = []

    def build(self, root: Folder) -> None:
        self.add("Root Entry", root, 5)
        mini_fat = struct.pack(f"<{len(self.mini_fat)}I", *self.mini_fat)
        self.entries[0].size = len(self.mini)
        size_of_tables = (len(self.mini), len(mini_fat), len(self.entries) * 128)
        fat, difat = self.table_sizes([*size_of_tables, *(entry.size for entry, _ in self.large)])
        self.fat = [FAT] * fat + [DIFAT] * difat
        mini_at, mini_fat_at, directory_at = map(self.take, size_of_tables)
        self.entries[0].start = mini_at[0] if mini_at else END
        for entry, content in self.large:
            places = self.take(entry.size)
            entry.start = places[0]
            if isinstance(content, bytes):
                self.put(places, content)
        while self.fat[-1] == FREE:
            self.fat.pop()
        self.put(mini_at, bytes(self.mini))
        self.put(mini_fat_at, mini_fat, b"\xff")
        self.put(directory_at, b"".join(entry.pack() for entry in self.entries), BLANK)
        self.put(range(fat), struct.pack(f"<{len(self.fat)}I", *self.fat), b"\xff")
        self.put(range(fat, fat + difat), self.difat(fat, difat))
        self.file.seek(0)
        self.file.write(self.header(fat, difat, mini_fat_at, directory_at))
        self.file.truncate((len(self.fat) + 1) * self.sector)

    def add(self, name: str, item: bytes | Zeros | Folder, kind: int) -> int:
        """The number of the new entry; its siblings are a list, each the right one of the one before."""
        number = len(self.entries)
        entry = _Entry(name, kind, item if isinstance(item, Folder) else Folder({}))
        self.entries.append(entry)
        if not isinstance(item, Folder):
            self.add_content(entry, item)
            return number
        previous = None
        for child_name in sorted(item.children, key=lambda child: (len(child.encode("utf-16-le")), child)):
            inner = item.children[child_name]
            added = self.add(child_name, inner, 1 if isinstance(inner, Folder) else 2)
            if previous is None:
                entry.child = added
            else:
                self.entries[previous].right = added
            previous = added
        return number

    def add_content(self, entry: _Entry, item: bytes | Zeros) -> None:
        entry.size = item.size if isinstance(item, Zeros) else len(item)
        if isinstance(item, Zeros) or len(item) >= 4096:
            self.large.append((entry, item))
            return
        count = -(-entry.size // 64)
        entry.start = len(self.mini_fat) if count else END
        self.mini_fat += [*range(entry.start + 1, entry.start + count), END][:count]
        self.mini += item.ljust(count * 64, b"\0")

    def table_sizes(self, contents: list[int]) -> tuple[int, int]:
        """Sectors of FAT and DIFAT."""
        numbers = self.sector // 4
        data = sum(-(-size // self.sector) for size in contents) * (2 if self.pieces else 1)
        fat = difat = 0
        while True:
            needed = -(-(data + fat + difat + (self.sector == 4096)) // numbers)
            listing = -(-max(needed - 109, 0) // (numbers - 1))
            if (needed, listing) == (fat, difat):
                return fat, difat
            fat, difat = needed, listing

    def take(self, size: int) -> list[int]:
        """The sectors of a new chain."""
        lock = RANGE_LOCK // self.sector - 1 if self.sector == 4096 else FREE
        at, count = len(self.fat), -(-size // self.sector)
        if count and not self.pieces and not at <= lock < at + count:
            self.fat += [*range(at + 1, at + count), END]
            return [*range(at, at + count)]
        found: list[int] = []
        while len(found) < count:
            if len(self.fat) == lock:
                self.fat.append(END)
                continue
            found.append(len(self.fat))
            self.fat += [END, FREE] if self.pieces else [END]
        if self.pieces:
            found.reverse()
        for one, other in pairwise(found):
            self.fat[one] = other
        return found

    def put(self, places: list[int] | range, content: bytes, filling: bytes = b"\0") -> None:
        padded = content + filling * (-len(content) % self.sector // len(filling))
        for index, place in enumerate(places):
            self.file.seek((place + 1) * self.sector)
            self.file.write(padded[index * self.sector : (index + 1) * self.sector])

    def difat(self, fat: int, difat: int) -> bytes:
        per_sector = self.sector // 4 - 1
        content: list[int] = []
        for index in range(difat):
            part = [*range(109, fat)][index * per_sector :][:per_sector]
            content += [*part, *[FREE] * (per_sector - len(part)), fat + index + 1 if index + 1 < difat else END]
        return struct.pack(f"<{len(content)}I", *content)

    def header(self, fat: int, difat: int, mini_fat_at: list[int], directory_at: list[int]) -> bytes:
        large = self.sector == 4096
        sizes = (0x3E, 4 if large else 3, 0xFFFE, 12 if large else 9, 6, bytes(6))
        counts = (len(directory_at) if large else 0, fat, directory_at[0], 0, 4096)
        rest = (mini_fat_at[0] if mini_fat_at else END, len(mini_fat_at), fat if difat else END, difat)
        listed = [*range(min(fat, 109)), *[FREE] * (109 - min(fat, 109))]
        magic = bytes.fromhex("d0cf11e0a1b11ae1")
        packed = struct.pack("<8s16sHHHHH6s9I109I", magic, bytes(16), *sizes, *counts, *rest, *listed)
        return packed.ljust(self.sector, b"\0")
