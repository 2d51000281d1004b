"""What no signature of a package covers: the records of the ZIP archive around its parts.

A signature of OPC covers what the parts unpack to. So every field of every record has a value that some program writes,
both headers of an entry say the same, and extra fields are those of times and of padding. Free are an entry's time, and
how a deflater packs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.zip import Archive, ZipEntry
from kspsign.authenticode.zip.records import CENTRAL, DEFLATED, DESCRIPTOR, LOCAL, UTF8
from kspsign.authenticode.zip.signature_entry import is_dos_time

_SPEED, _DOS_ARCHIVE, _TEXT = 0x0006, 0x20, 0x0001
_CHUNK = 1 << 20
_VERSIONS_NEEDED = frozenset({10, 20, 45})
_MADE_BY, _MADE_ON = frozenset({10, 20, 21, 23, 30, 31, 45, 46, 51, 63}), frozenset({0, 3, 10, 11})
_MODES = frozenset(
    {
        0,
        *(
            kind | mode
            for kind in (0, 0o100000)
            for mode in (0o600, 0o644, 0o660, 0o664, 0o666, 0o700, 0o755, 0o775, 0o777)
        ),
    }
)
_ZIP64, _NTFS, _UNIX_TIME, _UNIX_OWNER, _GROWTH_HINT = 0x0001, 0x000A, 0x5455, 0x7875, 0xA220
_SIZES = {_NTFS: (32,), _UNIX_TIME: (5, 9, 13), _UNIX_OWNER: (11,)}
_HINT, _HINT_MARK = struct.Struct("<2H"), 0xA028
"""Padding of .NET's packer (ECMA-376 Part 2 §C): a mark and its length, which zeros fill."""
_EXTRA_HEADER = 4


def entries_fault(file: BinaryIO, archive: Archive) -> str | None:
    """Why a record of the archive in `file` has something that no program writes; None when none has."""
    if archive.end.other_disks:
        return "the archive's end refers to other disks"
    for entry in archive.entries:
        file.seek(archive.start + entry.offset)
        header = file.read(entry.data - entry.offset)
        fault = _fields_fault(entry, header) or _extra_fault(entry, header)
        if fault is not None:
            return f"{entry.name}: {fault}"
    return None


def padding_fault(file: BinaryIO, archive: Archive) -> str | None:
    """Why an entry's deflated data (RFC 1951) holds bits after its end; None when none does."""
    for entry in archive.entries:
        if entry.method == DEFLATED and entry.packed:
            file.seek(archive.start + entry.data)
            try:
                stray = _has_stray_bits(file, entry.packed)
            except zlib.error:
                continue  # damaged, which the scan of the content says
            if stray:
                return f"{entry.name}: bits after the end of its packed data are set"
    return None


def _has_stray_bits(file: BinaryIO, packed: int) -> bool:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for raw in stretch(file, packed - 1):
        inflater.decompress(raw, _CHUNK)
        while inflater.unconsumed_tail:
            inflater.decompress(inflater.unconsumed_tail, _CHUNK)
    (last,) = file.read(1)
    whole = _end_of(inflater, last)
    return any(last >> bit & 1 and _end_of(inflater, last ^ 1 << bit) == whole for bit in range(8))


def _end_of(inflater: zlib._Decompress, last: int) -> bytes | None:
    """What the last byte unpacks to, None when the data does not end with it."""
    copy = inflater.copy()
    try:
        content = copy.decompress(bytes([last])) + copy.flush()
    except zlib.error:
        return None
    return content if copy.eof else None


def _fields_fault(entry: ZipEntry, header: bytes) -> str | None:
    _, needed, flags, _, time, date, *_ = LOCAL.unpack_from(header)
    fields = CENTRAL.unpack_from(entry.record)
    made_by, central_needed, central_time, central_date = fields[1], fields[2], fields[5], fields[6]
    comment, disk, internal, external = fields[12:16]
    if (time, date) != (central_time, central_date) or not is_dos_time(time, date):
        return "its headers differ in its time, or have none"
    if not {needed, central_needed} <= _VERSIONS_NEEDED or made_by & 0xFF not in _MADE_BY:
        return f"its headers name the versions {needed}, {central_needed} and {made_by & 0xFF}"
    if flags & ~(UTF8 | DESCRIPTOR | (_SPEED if entry.method == DEFLATED else 0)):
        return f"its headers have the flags 0x{flags:04X}"
    host, mode, dos = made_by >> 8, external >> 16, external & 0xFFFF
    if host not in _MADE_ON or dos not in {0, _DOS_ARCHIVE} or mode not in _MODES:
        return f"its directory record has the attributes 0x{external:08X} of system {host}"
    if comment or disk or internal & ~_TEXT:
        return "its directory record has a comment, a disk or internal attributes"
    return None


def _extra_fault(entry: ZipEntry, header: bytes) -> str | None:
    known = 0
    for data, start in ((header, LOCAL.size), (entry.record, CENTRAL.size)):
        for kind, content in _extra_fields(data, start + len(entry.raw_name)):
            hint = _HINT.pack(_HINT_MARK, len(content) - _HINT.size) if len(content) >= _HINT.size else b""
            is_hint = kind == _GROWTH_HINT and content == hint + bytes(len(content) - len(hint))
            if is_hint or len(content) in _SIZES.get(kind, ()):
                known += _EXTRA_HEADER + len(content)
            elif kind != _ZIP64:
                return f"it has the extra field 0x{kind:04X} of {len(content)} bytes"
    return None if entry.spare == known else "its headers have Zip64 numbers of nothing"


def _extra_fields(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Those that fill `data` from `at` on; the archive's reader found that they do."""
    while at < len(data):
        kind, length = struct.unpack_from("<2H", data, at)
        at += _EXTRA_HEADER + length
        yield kind, data[at - length : at]
