"""Changes of a cabinet: each number of its head, its reserves, and the names of its neighbours."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
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
        for other in sorted(number & ((1 << 8 * size) - 1) for number in others):
            if other != value:
                new = other.to_bytes(size, "little")
                yield FileChange(f"head {name}", f"{other:#x}", at, partial(patched, data, at, new))
    head = _Head.of(data)
    for more in (1, 8, 100):
        for first in (False, True):
            yield FileChange("reserve", f"{more} longer", 40, partial(head.with_reserve, more, first=first))
    for size in {0, 1, 8, 255} - {head.folder_reserve}:
        yield FileChange("folder", f"reserve of {size}", 36, partial(head.with_folders, size))
    for size in {0, 1, 8, 255} - {head.data_reserve}:
        yield FileChange("folder", f"data reserve of {size}", 36, partial(patched, data, 39, bytes([size])))
    for at in range(len(head.names)):
        yield FileChange("name", "flipped", at, partial(head.with_names, _flipped(head.names, at)))
        yield FileChange("name", "cut", at, partial(head.with_names, head.names[:at] + head.names[at + 1 :]))
        yield FileChange("name", "longer", at, partial(head.with_names, head.names[:at] + b"p" + head.names[at:]))
    for flags in {0, 1, 2, 3} - {head.flags & 3}:
        names = b"p\0p\0" * flags.bit_count()
        yield FileChange("name", f"neighbours {flags}", 30, partial(head.with_names, names, flags))


def _flipped(names: bytes, at: int) -> bytes:
    return names[:at] + bytes([names[at] ^ 1]) + names[at + 1 :]


@dataclass(frozen=True)
class _Head:
    """A signed cabinet in pieces: the fixed part with the sizes of the reserves, the reserve, the names, the folders of
    8 bytes with their reserves, and all that follows."""

    fixed: bytes
    reserve: bytes
    names: bytes
    folders: tuple[bytes, ...]
    rest: bytes

    @classmethod
    def of(cls, data: bytes) -> _Head:
        count, flags, reserve, folder = *struct.unpack_from("<H2xH", data, 26), *struct.unpack_from("<HB", data, 36)
        names = at = 40 + reserve
        for _ in range(2 * (flags & 3).bit_count()):
            at = data.index(b"\0", at) + 1
        end = at + count * (8 + folder)
        folders = tuple(data[start : start + 8 + folder] for start in range(at, end, 8 + folder))
        return cls(data[:40], data[40:names], data[names:at], folders, data[end:])

    @property
    def flags(self) -> int:
        return self.fixed[30]

    @property
    def folder_reserve(self) -> int:
        return self.fixed[38]

    @property
    def data_reserve(self) -> int:
        return self.fixed[39]

    def with_reserve(self, more: int, *, first: bool) -> bytes:
        """With `more` bytes in the reserve: as another program's structure, or after the signature's place."""
        payload = b"p" * more
        reserve = struct.pack("<H", more) + self.reserve[2:4] + payload + self.reserve[4:]
        return self._built(self.fixed, reserve if first else self.reserve + payload, self.names, self.folders)

    def with_folders(self, size: int) -> bytes:
        """With a reserve of `size` bytes in each folder."""
        fixed = self.fixed[:38] + bytes([size]) + self.fixed[39:]
        return self._built(fixed, self.reserve, self.names, tuple(folder[:8] + b"p" * size for folder in self.folders))

    def with_names(self, names: bytes, flags: int | None = None) -> bytes:
        """With other names of the neighbours."""
        fixed = self.fixed if flags is None else patched(self.fixed, 30, bytes([self.flags & ~3 | flags]))
        return self._built(fixed, self.reserve, names, self.folders)

    def _built(self, fixed: bytes, reserve: bytes, names: bytes, folders: tuple[bytes, ...]) -> bytes:
        """The whole, all offsets made right."""
        grown = len(reserve + names + b"".join(folders)) - len(self.reserve + self.names + b"".join(self.folders))
        head = bytearray(fixed)
        for at in (8, 16):
            struct.pack_into("<I", head, at, struct.unpack_from("<I", fixed, at)[0] + grown)
        struct.pack_into("<H", head, 36, len(reserve))
        place = bytearray(reserve)
        at = 4 + struct.unpack_from("<H", reserve)[0]
        struct.pack_into("<I", place, at, struct.unpack_from("<I", reserve, at)[0] + grown)
        moved = (struct.pack("<I", struct.unpack_from("<I", folder)[0] + grown) + folder[4:] for folder in folders)
        return bytes(head) + bytes(place) + names + b"".join(moved) + self.rest
