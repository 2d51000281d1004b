"""The directory of a compound file (MS-CFB §2.6): its entries, and the tree of storages and streams they make."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kspsign.authenticode.compound.header import END, damaged

ENTRY = 128
MAX_ENTRIES = 1 << 16
MAX_DEPTH = 32
NO_STREAM = 0xFFFFFFFF
STORAGE, STREAM, ROOT = 1, 2, 5
RED, BLACK = 0, 1
BLANK = bytes(68) + b"\xff" * 12 + bytes(48)
"""An unused entry; some writers leave its links zero."""
_ROOT_NAME = "Root Entry".encode("utf-16-le")
_ENTRY = struct.Struct("<64sHBBIII16s4s16sIQ")


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory entry. `name` is UTF-16LE without terminator, `times` creation and modification as stored,
    `size` bytes; `start` is a sector, of the mini stream for a small stream."""

    name: bytes
    kind: int
    class_id: bytes
    state: bytes
    times: bytes
    start: int
    size: int

    @property
    def label(self) -> str:
        """The name as messages show it."""
        return ascii(self.name.decode("utf-16-le", "replace"))

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream."""
        return self.kind == STREAM

    @property
    def is_root(self) -> bool:
        """Whether it is the root."""
        return self.kind == ROOT

    def pack(self, links: Links) -> bytes:
        """The encoded entry."""
        return _ENTRY.pack(
            *(self.name, len(self.name) + 2, self.kind, links.color, links.left, links.right, links.child),
            *(self.class_id, self.state, self.times, self.start, self.size),
        )


@dataclass(frozen=True, slots=True)
class Links:
    """An entry's place in the red-black trees: its colour, its siblings and, of a storage, its first child."""

    color: int = BLACK
    left: int = NO_STREAM
    right: int = NO_STREAM
    child: int = NO_STREAM


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage with what it contains; the root is one. `sorted`: whether its tree finds every name."""

    entry: DirectoryEntry
    storages: tuple[Storage, ...] = field(repr=False)
    streams: tuple[DirectoryEntry, ...] = field(repr=False)
    sorted: bool

    def walk(self) -> Iterator[Storage]:
        """This storage and all below it."""
        yield self
        for storage in self.storages:
            yield from storage.walk()


def read_directory(data: bytes, major: int) -> tuple[Storage, bool]:
    """The tree in the directory stream `data` of a file of version `major`, and whether unused entries are blank.

    Raises ArtifactError when an entry or the tree is invalid, or when two names are equal.
    """
    count = len(data) // ENTRY
    if not 0 < count <= MAX_ENTRIES:
        raise damaged(f"its directory has {count} entries")
    seen = bytearray(count)
    seen[0] = 1
    entry, links = _read_entry(data, 0, major)
    if entry.kind != ROOT or entry.name != _ROOT_NAME or links.left != NO_STREAM or links.right != NO_STREAM:
        raise damaged("its directory does not begin with the root entry")
    root = _read_storage(data, major, (entry, links), seen, MAX_DEPTH)
    unused = (data[at * ENTRY : at * ENTRY + ENTRY] for at in range(count) if not seen[at])
    return root, all(raw == BLANK or not any(raw) for raw in unused)


def balanced(names: Sequence[bytes], numbers: Sequence[int]) -> tuple[int, dict[int, Links]]:
    """A red-black tree over the siblings of `names` (entry `numbers` in the same order): its top and each one's links.

    All levels are full but the last, whose entries are red.
    """
    ordered = sorted(zip(map(_folded, names), numbers, strict=True))
    full = (len(ordered) + 1).bit_length() - 1
    links: dict[int, Links] = {}

    def place(first: int, end: int, level: int) -> int:
        if first == end:
            return NO_STREAM
        middle = (first + end) // 2
        number = ordered[middle][1]
        left, right = place(first, middle, level + 1), place(middle + 1, end, level + 1)
        links[number] = Links(BLACK if level < full else RED, left, right)
        return number

    return place(0, len(ordered), 0), links


def same_name(one: bytes, other: bytes) -> bool:
    """Whether a compound file can't hold both names in one storage: they differ in nothing but case."""
    return _folded(one) == _folded(other)


def _read_entry(data: bytes, number: int, major: int) -> tuple[DirectoryEntry, Links]:
    (name, length, kind, color, left, right, child, class_id, state, times, start, size) = _ENTRY.unpack_from(
        data, number * ENTRY
    )
    kept = name[: max(length - 2, 0)]
    if length % 2 or not 4 <= length <= 64 or any(name[length - 2 :]) or any(_is_zero(kept)):
        raise damaged(f"directory entry {number} has no proper name")
    entry = DirectoryEntry(kept, kind, class_id, state, times, start, size & 0xFFFFFFFF if major == 3 else size)
    if kind not in {STORAGE, STREAM, ROOT} or color not in {RED, BLACK}:
        raise damaged(f"directory entry {number} ({entry.label}) is of no known kind")
    if kind == STREAM and (any(class_id) or child != NO_STREAM):
        raise damaged(f"the stream {entry.label} has fields that only storages have")
    if kind == STORAGE and (entry.size or entry.start not in {0, END}):
        raise damaged(f"the storage {entry.label} has fields that only streams have")
    return entry, Links(color, left, right, child)


def _read_storage(data: bytes, major: int, own: tuple[DirectoryEntry, Links], seen: bytearray, depth: int) -> Storage:
    entry, links = own
    if not depth:
        raise damaged(f"its storages are nested deeper than {MAX_DEPTH}")
    children = list(_in_order(data, major, links.child, seen))
    names = [child.name for child, _ in children]
    folded = list(map(_folded, names))
    if len(set(folded)) < len(folded):
        raise damaged(f"two names in the storage {entry.label} are the same")
    storages = tuple(
        _read_storage(data, major, (child, below), seen, depth - 1)
        for child, below in children
        if child.kind == STORAGE
    )
    streams = tuple(child for child, _ in children if child.kind == STREAM)
    # Some writers compare names as they are; the specification compares them in upper case.
    found = folded == sorted(folded) or names == sorted(names, key=_plain)
    return Storage(entry, storages, streams, found)


def _in_order(data: bytes, major: int, top: int, seen: bytearray) -> Iterator[tuple[DirectoryEntry, Links]]:
    """The siblings below `top`, in the order of their tree."""
    above: list[tuple[DirectoryEntry, Links]] = []
    number = top
    while True:
        while number != NO_STREAM:
            if number >= len(seen) or seen[number]:
                raise damaged(f"its directory tree is invalid: entry {number} occurs in it twice, or does not exist")
            seen[number] = 1
            above.append(_read_entry(data, number, major))
            if above[-1][0].kind == ROOT:
                raise damaged("its directory has a second root")
            number = above[-1][1].left
        if not above:
            return
        entry, links = above.pop()
        yield entry, links
        number = links.right


def _plain(name: bytes) -> tuple[int, tuple[int, ...]]:
    return len(name), struct.unpack(f"<{len(name) // 2}H", name)


def _folded(name: bytes) -> tuple[int, tuple[int, ...]]:
    """The order of siblings: by length, then in upper case, code unit by code unit (MS-CFB §2.6.4)."""
    text = name.decode("utf-16-le", "replace")
    if text.isascii():
        return _plain(text.upper().encode("utf-16-le"))
    length, units = _plain(name)
    upper = ((unit, chr(unit).upper()) for unit in units)
    return length, tuple(ord(above) if len(above) == 1 and ord(above) < 0x10000 else unit for unit, above in upper)


def _is_zero(name: bytes) -> Iterator[bool]:
    return (unit == 0 for unit in struct.unpack(f"<{len(name) // 2}H", name))
