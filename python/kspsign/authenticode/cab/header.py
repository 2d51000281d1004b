"""The head of a cabinet: CFHEADER and the CFFOLDERs (Microsoft "Cabinet File Format"). Reads no more than the head;
believes no offset it has not checked."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

from kspsign.authenticode.cab.reserve import with_place
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

FIXED = 36
SIZES = 4
FOLDER = 8
PREVIOUS, NEXT, RESERVED = 1, 2, 4
MAX_NAME = 256
MAX_RESERVE = 60_000
_NUMBERS = struct.Struct("<4xIIIII2BHHHHH")


class Folder(NamedTuple):
    """A CFFOLDER: its number, where its first data block is, how many it has, and how they are compressed."""

    number: int
    start: int
    blocks: int
    method: int


@dataclass(frozen=True, slots=True)
class CabHead:
    """CFHEADER's fields, sizes and offsets in bytes, and the CFFOLDERs as they are in the file.

    `cabinet` is the cabinet's size without the signature, `files` where the CFFILEs begin, `number` the cabinet's in
    its set. `reserve` is the per-cabinet reserve, None when the header has no sizes of reserves at all. `names` are
    the NUL-terminated names of the previous and the next cabinet.
    """

    checksum: int
    cabinet: int
    reserved: tuple[int, int]
    files: int
    version: tuple[int, int]
    folder_count: int
    file_count: int
    flags: int
    set_id: int
    number: int
    reserve: bytes | None = field(repr=False)
    folder_reserve: int
    data_reserve: int
    names: bytes = field(repr=False)
    folders: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the head."""
        sizes = 0 if self.reserve is None else SIZES + len(self.reserve)
        return FIXED + sizes + len(self.names) + len(self.folders)

    def spans(self) -> tuple[Folder, ...]:
        """The folders in their order."""
        step = FOLDER + self.folder_reserve
        return tuple(
            Folder(index, *struct.unpack_from("<IHH", self.folders, index * step))
            for index in range(len(self.folders) // step)
        )

    def signed(self, first: bytes) -> CabHead:
        """The head with room for a signature; a reserve that is there keeps its size and its structure `first`.

        All offsets are adjusted. The checksum, which no reader checks any more, would be unsigned, so it is cleared.
        """
        room = with_place(len(self.reserve or b""), first, 0, 0)
        grown = SIZES + len(room) if self.reserve is None else len(room) - len(self.reserve)
        return replace(self._moved(grown), checksum=0, flags=self.flags | RESERVED, reserve=room)

    def without_reserve(self) -> CabHead:
        """The head without sizes of reserves and per-cabinet reserve, all offsets adjusted: `signed` undone."""
        return replace(self._moved(-SIZES - len(self.reserve or b"")), flags=self.flags & ~RESERVED, reserve=None)

    def _moved(self, grown: int) -> CabHead:
        """The head with all offsets for so many more bytes in it."""
        folders = bytearray(self.folders)
        for folder in self.spans():
            at = folder.number * (FOLDER + self.folder_reserve)
            struct.pack_into("<I", folders, at, folder.start + grown)
        return replace(self, cabinet=self.cabinet + grown, files=self.files + grown, folders=bytes(folders))

    def to_bytes(self) -> bytes:
        """The encoded head."""
        sizes = b""
        if self.reserve is not None:
            sizes = struct.pack("<HBB", len(self.reserve), self.folder_reserve, self.data_reserve) + self.reserve
        return self._fixed() + sizes + self.names + self.folders

    def hashed(self, first: bytes) -> bytes:
        """The part of the head that a signature covers: of the reserve only the structure `first` and its length."""
        fixed = self._fixed()
        return fixed[:4] + fixed[8:] + struct.pack("<H", len(first)) + first + self.names + self.folders

    def _fixed(self) -> bytes:
        second, third = self.reserved
        numbers = (self.checksum, self.cabinet, second, self.files, third, *self.version)
        counts = (self.folder_count, self.file_count, self.flags, self.set_id, self.number)
        return b"MSCF" + _NUMBERS.pack(*numbers, *counts)[4:]


def read_head(file: BinaryIO, size: int) -> CabHead:
    """The head of the cabinet in `file` (`size` bytes long).

    Raises ArtifactError (ERROR_BAD_FORMAT) when it is cut off, when its parts and offsets contradict each other, or
    when an offset lies outside the file.
    """
    fixed = _take(file, FIXED)
    checksum, cabinet, second, files, third, minor, major, folder_count, file_count, flags, set_id, number = (
        _NUMBERS.unpack(fixed)
    )
    if flags & ~(PREVIOUS | NEXT | RESERVED):
        raise damaged(f"its flags are 0x{flags:04X}, of which the format knows three bits")
    reserve, folder_reserve, data_reserve = None, 0, 0
    if flags & RESERVED:
        length, folder_reserve, data_reserve = struct.unpack("<HBB", _take(file, SIZES))
        reserve = _take(file, length)
    names = b"".join(_name(file) for flag in (PREVIOUS, NEXT) if flags & flag for _ in ("cabinet", "disk"))
    folders = _take(file, folder_count * (FOLDER + folder_reserve))
    head = CabHead(
        *(checksum, cabinet, (second, third), files, (minor, major), folder_count, file_count, flags, set_id, number),
        *(reserve, folder_reserve, data_reserve, names, folders),
    )
    if files != head.size:
        raise damaged(f"its list of files begins, as declared, at {files}, its folders end at {head.size}")
    if not files <= cabinet <= size:
        raise damaged(f"its header declares {cabinet} bytes, the file has {size}")
    for folder in head.spans():
        if folder.blocks and not files <= folder.start < cabinet:
            raise damaged(f"the data of a folder begins at {folder.start}, outside the cabinet ({cabinet})")
    return head


def damaged(what: str) -> ArtifactError:
    """The error for a cabinet that contradicts itself."""
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the cabinet is damaged: {what}")


def _name(file: BinaryIO) -> bytes:
    """A NUL-terminated name, its NUL included."""
    data = file.read(MAX_NAME)
    end = data.find(b"\0") + 1
    if not end:
        raise damaged("the name of a neighbouring cabinet or disk has no end")
    file.seek(end - len(data), 1)
    return data[:end]


def _take(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise damaged("its header is cut off")
    return data
