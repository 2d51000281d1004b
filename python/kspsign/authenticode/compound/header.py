"""The header of a compound file (MS-CFB §2.2), and the sizes that follow from its version."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
HEADER = 512
HEADER_DIFAT = 109
"""FAT sectors that the header itself lists; more are listed in DIFAT sectors."""
MINI_SECTOR = 64
MINI_CUTOFF = 4096
"""Streams that are smaller live in the mini stream."""
FREE, END, FAT_SECTOR, DIFAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC
"""The FAT value of a sector that has no next one (MS-CFB §2.1)."""
RANGE_LOCK = 0x7FFFFF00
"""File offset whose sector belongs to no stream in files of more than 2 GiB (MS-CFB §2.8)."""
_FIELDS = struct.Struct("<8s16sHHHHH6s9I")
_DIFAT = struct.Struct(f"<{HEADER_DIFAT}I")
_SECTOR_SHIFTS = {3: 9, 4: 12}


@dataclass(frozen=True, slots=True)
class Header:
    """Sector numbers, and counts of sectors. `difat` has the FAT sectors that the header lists."""

    minor: int
    major: int
    directory_sectors: int
    fat_sectors: int
    directory_start: int
    transaction: int
    mini_fat_start: int
    mini_fat_sectors: int
    difat_start: int
    difat_sectors: int
    difat: tuple[int, ...]

    @property
    def sector_size(self) -> int:
        """Bytes of a sector; the header takes the place of one."""
        return 1 << _SECTOR_SHIFTS[self.major]

    @property
    def range_lock_sector(self) -> int | None:
        """The sector that no stream may have; None where files can't reach it."""
        return None if self.major == 3 else RANGE_LOCK // self.sector_size - 1

    def offset(self, sector: int) -> int:
        """Where `sector` starts in the file, in bytes."""
        return (sector + 1) * self.sector_size

    def pack(self) -> bytes:
        """The encoded header, padded to a sector."""
        fields = _FIELDS.pack(
            *(MAGIC, bytes(16), self.minor, self.major, 0xFFFE, _SECTOR_SHIFTS[self.major], 6, bytes(6)),
            *(self.directory_sectors, self.fat_sectors, self.directory_start, self.transaction, MINI_CUTOFF),
            *(self.mini_fat_start, self.mini_fat_sectors, self.difat_start, self.difat_sectors),
        )
        difat = _DIFAT.pack(*self.difat, *[FREE] * (HEADER_DIFAT - len(self.difat)))
        return (fields + difat).ljust(self.sector_size, b"\0")


def read_header(file: BinaryIO) -> Header:
    """The header of the compound file that `file` is at the start of.

    Raises ArtifactError (ERROR_BAD_FORMAT) when a field has no value that the specification allows.
    """
    data = file.read(HEADER)
    if len(data) < HEADER or data[:8] != MAGIC:
        raise damaged("its header is cut off")
    (_, class_id, minor, major, byte_order, shift, mini_shift, reserved, *numbers) = _FIELDS.unpack_from(data)
    if major not in _SECTOR_SHIFTS or shift != _SECTOR_SHIFTS[major]:
        raise damaged(f"its header names version {major} with sectors of 2^{shift} bytes")
    directory_sectors, fat_sectors, directory_start, transaction, cutoff = numbers[:5]
    if (byte_order, mini_shift, cutoff) != (0xFFFE, 6, MINI_CUTOFF):
        raise damaged("its header names another byte order, or other mini stream sizes, than the format defines")
    rest_of_sector = file.read((1 << shift) - HEADER)
    if any(class_id) or any(reserved) or any(rest_of_sector):
        raise damaged("its header holds data where only zeros are allowed")
    if len(rest_of_sector) != (1 << shift) - HEADER:
        raise damaged("its header is cut off")
    listed = _DIFAT.unpack_from(data, _FIELDS.size)
    used = min(fat_sectors, HEADER_DIFAT)
    if any(number != FREE for number in listed[used:]):
        raise damaged("its header lists more FAT sectors than it counts")
    if major == 3 and directory_sectors:
        raise damaged(f"its header counts {directory_sectors} directory sectors, which version 3 does not")
    mini_fat_start, mini_fat_sectors, difat_start, difat_sectors = numbers[5:]
    return Header(
        minor,
        major,
        directory_sectors,
        fat_sectors,
        directory_start,
        transaction,
        mini_fat_start,
        mini_fat_sectors,
        difat_start,
        difat_sectors,
        listed[:used],
    )


def damaged(what: str) -> ArtifactError:
    """The error for a compound file that contradicts itself."""
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the compound file is damaged: {what}")
