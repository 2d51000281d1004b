"""The records of a ZIP archive (APPNOTE.TXT 4.3.7 to 4.3.16, 4.5.3). All numbers are little-endian."""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6"
END64_MAGIC, LOCATOR_MAGIC, DESCRIPTOR_MAGIC = b"PK\6\6", b"PK\6\7", b"PK\7\x08"

STORED, DEFLATED = 0, 8
DESCRIPTOR, UTF8 = 0x0008, 0x0800
KNOWN_FLAGS = DESCRIPTOR | UTF8 | 0x0006
"""Data descriptor, UTF-8 name, and the two bits that only state the compression level."""
U16, U32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _ZIP64_VERSION, _UNICODE_PATH = 1, 45, 0x7075
_UNIX = 3  # the system that a record was made on (4.4.2)
_EXTRA_HEADER = 4  # of each extra field: its kind and its length
_MASK = b"\xff" * 4
_OFFSET_AT = 42  # of the 32-bit offset in a central directory record


class ZipEntry(NamedTuple):
    """A file in an archive. `number` is its place in the central directory, `record` its record there.

    Offsets are bytes from the archive's start: of its local header, of its data, and of what follows it (data
    descriptor included). `offset_field` is where `record` has its offset as a 64-bit number, 0 when it has none.
    `spare` counts what its two headers hold besides name and Zip64 numbers: other extra fields, a comment, and Zip64
    numbers of nothing; `wide` says whether one has Zip64 numbers.
    """

    number: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    record: bytes
    offset_field: int
    spare: int
    wide: bool
    data: int
    end: int

    @property
    def name(self) -> str:
        """The name as text; it is not kept, as an archive may have a hundred thousand."""
        return self.raw_name.decode("utf-8" if self.flags & UTF8 else "cp437")

    @property
    def raw_name(self) -> bytes:
        """The name as both headers have it."""
        return self.record[CENTRAL.size : CENTRAL.size + int.from_bytes(self.record[28:30], "little")]

    @property
    def shown_name(self) -> str:
        """The name that readers show: that of its Unicode Path extra field (4.6.9) if it has one, and what was packed
        on Unix without a word on its encoding is UTF-8 where it can be. Raises ValueError for a field that is not of
        this name, and for a name that may not be."""
        raw, field = self.raw_name, self.unicode_path
        if field:
            if field[:1] != b"\1" or field[1:5] != zlib.crc32(raw).to_bytes(4, "little"):
                raise ValueError(f"the Unicode name of {self.name} is that of another one")
            shown = _checked_name(field[5:], UTF8)
            if not _may_stand_for(raw, shown):
                raise ValueError(f"the Unicode name of {self.name} is {shown}: readers could take it for either")
            return shown
        if self.record[5] == _UNIX and not self.flags & UTF8 and not raw.isascii():
            with contextlib.suppress(UnicodeDecodeError):
                return _checked_name(raw, UTF8)
        return self.name

    @property
    def unicode_path(self) -> bytes:
        """What its Unicode Path extra field in the directory holds, empty when it has none."""
        size = int.from_bytes(self.record[30:32], "little")
        return unicode_path(self.record, CENTRAL.size + len(self.raw_name), size)

    @property
    def mode(self) -> int:
        """Its file type and permissions as Unix has them, 0 when it has none."""
        return int.from_bytes(self.record[40:42], "little")

    def moved(self, offset: int) -> bytes:
        """Its central directory record with the local header at `offset`, which is not after its former place."""
        if self.offset_field:
            at, size = self.offset_field, 8
        else:
            at, size = _OFFSET_AT, 4
        return self.record[:at] + offset.to_bytes(size, "little") + self.record[at + size :]


@dataclass(frozen=True, slots=True)
class End:
    """How an archive ends. `versions` are those of its Zip64 record, None without one; `masked` says which of the
    four numbers of the last record (entries here, entries, directory's size and offset) are in that one only.
    `other_disks` says that the last record has disk numbers, as MakeAppx writes them. `comment` is the archive's."""

    versions: tuple[int, int] | None = None
    masked: tuple[bool, bool, bool, bool] = (False, False, False, False)
    other_disks: bool = False
    comment: bytes = b""

    def records(self, count: int, size: int, offset: int) -> bytes:
        """The end records of an archive with `count` entries, whose directory has `size` bytes at `offset`.

        Zip64 is used where the archive had it, or the numbers need it. Disk numbers are 0: MakeAppx writes others,
        which Windows does not accept in a signed package.
        """
        end = self
        if end.versions is None and (count >= U16 or size >= U32 or offset >= U32):
            end = replace(end, versions=(_ZIP64_VERSION, _ZIP64_VERSION), masked=(True, True, True, True))
        masks = zip((count, count, size, offset), (U16, U16, U32, U32), end.masked, strict=True)
        numbers = (mask if masked else value for value, mask, masked in masks)
        last = END.pack(END_MAGIC, 0, 0, *numbers, len(self.comment)) + self.comment
        if end.versions is None:
            return last
        record = END64.pack(END64_MAGIC, END64.size - 12, *end.versions, 0, 0, count, count, size, offset)
        return record + LOCATOR.pack(LOCATOR_MAGIC, 0, offset + size, 1) + last


def read_record(record: bytes, index: int) -> ZipEntry:
    """The entry of a whole central directory record; raises ValueError for what is not allowed."""
    fields = CENTRAL.unpack_from(record)
    flags, method, crc, packed, size, name_size, extra_size = *fields[3:5], *fields[7:12]
    disk, offset = fields[13], fields[16]
    name = _checked_name(record[CENTRAL.size : CENTRAL.size + name_size], flags)
    if flags & ~KNOWN_FLAGS:
        raise ValueError(f"{name} is encrypted or uses another feature that no package may (flags 0x{flags:04X})")
    if method not in {STORED, DEFLATED}:
        raise ValueError(f"{name} uses compression method {method}, which is neither stored nor deflated")
    if disk not in {0, U16}:
        raise ValueError(f"{name} is on another disk")
    extra = CENTRAL.size + name_size
    at, limit = zip64_extra(record, extra, extra_size)
    wide: list[int] = []
    offset_field, numbers = 0, record[at:limit]
    for value in (size, packed, offset):
        if value != U32:
            wide.append(value)
            continue
        if at + 8 > limit:
            raise ValueError(f"{name} lacks a Zip64 number")
        offset_field = at  # in the end that of the offset, if it is there
        wide.append(int.from_bytes(record[at : at + 8], "little"))
        at += 8
    field = offset_field if offset == U32 else 0
    size, packed, offset = wide
    stated = zip64_stated(numbers, at + len(numbers) - limit, wide)
    spare = len(record) - extra - stated
    return ZipEntry(index, flags, method, crc, packed, size, offset, record, field, spare, bool(numbers), 0, 0)


def zip64_extra(data: bytes, at: int, size: int, kind: int = _ZIP64) -> tuple[int, int]:
    """Start and end of the Zip64 extra field's numbers, or of what that of another `kind` holds, among the `size` bytes
    of extra fields at `at`; empty when there is none. Raises ValueError when the fields do not fit in."""
    end, found = at + size, (at, at)
    while at < end:
        if at + _EXTRA_HEADER > end:
            raise ValueError("an extra field is cut off")
        read, length = struct.unpack_from("<2H", data, at)
        start, at = at + _EXTRA_HEADER, at + _EXTRA_HEADER + length
        if at > end:
            raise ValueError("an extra field is cut off")
        if read == kind:
            if found[0] != found[1]:
                raise ValueError(f"there are two extra fields of the kind 0x{kind:04X}")
            found = (start, at)
    return found


def unicode_path(data: bytes, at: int, size: int) -> bytes:
    """What the Unicode Path extra field holds among the `size` bytes of extra fields at `at`, empty when there is none.
    Raises ValueError when the fields do not fit in."""
    start, end = zip64_extra(data, at, size, _UNICODE_PATH)
    return data[start:end]


def zip64_stated(numbers: bytes, used: int, values: Sequence[int]) -> int:
    """Bytes of a Zip64 extra field, header included, that state something of the entry: of its `numbers` those that
    are `used` in place of masked ones, or all, where they are the `values` and no mask asks for them. The rest is room
    for anything."""
    if numbers == struct.pack(f"<{len(values)}Q", *values):
        used = len(numbers)
    return used + _EXTRA_HEADER if used else 0


def restate(header: bytes, kind: struct.Struct, old: Sequence[int], crc: int, new: Sequence[int]) -> bytes:
    """A local header or central record (`kind`) with another checksum and other numbers: `old` and `new` are size and
    packed size, in a central record the offset too. Each is written where the old one is stated, everything else keeps
    its bytes. Raises ValueError for a number that has no place there."""
    local = kind is LOCAL
    crc_at, extra_sizes = (14, 26) if local else (16, 28)
    name_size, extra_size = struct.unpack_from("<2H", header, extra_sizes)
    at, limit = zip64_extra(header, kind.size + name_size, extra_size)
    repeats = header[at:limit] == struct.pack(f"<{len(old)}Q", *old)
    data = bytearray(header)
    data[crc_at : crc_at + 4] = crc.to_bytes(4, "little")
    for place, number in zip((crc_at + 8, crc_at + 4, _OFFSET_AT), new, strict=False):
        masked = at < limit and data[place : place + 4] == _MASK
        if not masked:
            if number >= U32:
                raise ValueError("it would have 4 GiB or more, and has no Zip64 record")
            data[place : place + 4] = number.to_bytes(4, "little")
        if masked or repeats:
            data[at : at + 8] = number.to_bytes(8, "little")
            at += 8
    return bytes(data)


def _may_stand_for(raw: bytes, shown: str) -> bool:
    """Whether `raw` is what a packer writes for the Unicode name `shown` where only bytes of a code page may be: the
    same, but for characters beyond ASCII, and the same extension where that is ASCII in one of the two."""
    parts = (_ANY_BEYOND_ASCII if run[0] else re.escape(run[1]) for run in _RUNS.findall(shown))
    text = raw.decode("latin-1")
    ends = [name.rpartition(".")[2].lower() for name in (text, shown)]
    return re.fullmatch("".join(parts), text) is not None and (ends[0] == ends[1] or not any(map(str.isascii, ends)))


_RUNS = re.compile(r"([^\0-\x7f]+)|([\0-\x7f]+)")
_ANY_BEYOND_ASCII = r"(?:[\x80-\xff?_A-Za-z0-9]|#U[0-9A-Fa-f]{4}|#L[0-9A-Fa-f]{6})+"
"""Its bytes in some code page, a letter like it, or the escapes of Info-ZIP's zip."""


def _checked_name(name: bytes, flags: int) -> str:
    """The name as text: UTF-8 where its flag says so, else code page 437 (APPNOTE.TXT D.1)."""
    text = name.decode("utf-8" if flags & UTF8 else "cp437")
    if not text or "\0" in text:
        raise ValueError("an entry's name is empty or holds a NUL")
    if text.startswith("/") or ".." in text.replace("\\", "/").split("/"):
        raise ValueError(f"the name {text} leads out of the package")
    return text
