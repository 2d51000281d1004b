"""The entry of a package's signature: the one whose headers and packed data no digest covers.

So each field has a value that some signer writes, and both headers say the same. Free are the entry's time (SignTool
writes the present one), and how a deflater packs: no more than a few bytes longer than zlib does.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from kspsign.authenticode.signable import MAX_SIGNATURE
from kspsign.authenticode.zip.archive import Archive
from kspsign.authenticode.zip.records import CENTRAL, DEFLATED, LOCAL, UTF8, ZipEntry
from kspsign.authenticode.zip.scan import unpack

_MAX_RATIO, _FREE = 16, 64 << 10
_SPEED = 0x0006  # how hard the packer tried
_VERSIONS_NEEDED = frozenset({10, 20, 45})
_MADE_BY, _MADE_ON = frozenset({10, 20, 45, 46, 63}), frozenset({0, 3, 10, 11})
_DOS_ARCHIVE, _REGULAR_FILE = 0x20, 0o100000
_SLACK, _SLACK_RATIO = 32, 128


def read_signature_entry(file: BinaryIO, archive: Archive, entry: ZipEntry) -> tuple[bytes, str | None]:
    """What the entry unpacks to, and what is wrong with it or its headers (None: nothing).

    Raises ArtifactError (ERROR_BAD_FORMAT) when it can't be unpacked, or to no more than a signature can have.
    """
    limit = min(MAX_SIGNATURE, max(_FREE, entry.packed * _MAX_RATIO))
    content = unpack(file, archive, entry, limit)
    file.seek(archive.start + entry.offset)
    header = file.read(LOCAL.size)
    fault = _place_fault(archive, entry) or _header_fault(entry, header)
    if fault is None and entry.method == DEFLATED:
        file.seek(archive.start + entry.data)
        fault = _deflate_fault(file.read(entry.packed), content)
    return content, fault


def _place_fault(archive: Archive, entry: ZipEntry) -> str | None:
    if entry is not archive.last:
        return "it is not the last entry: data was added"
    if entry.spare or entry.end != entry.data + entry.packed:
        return "extra fields, a comment or a data descriptor go with it"
    if archive.end.other_disks:
        return "the archive's end refers to other disks"
    return None


def _header_fault(entry: ZipEntry, header: bytes) -> str | None:
    """Why its two headers have something else than a signer writes."""
    _, needed, flags, _, time, date, *_ = LOCAL.unpack(header)
    fields = CENTRAL.unpack_from(entry.record)
    made_by, central_needed, central_time, central_date = fields[1], fields[2], fields[5], fields[6]
    disk, internal, external = fields[13:16]
    if (time, date) != (central_time, central_date) or not is_dos_time(time, date):
        return "its headers differ in its time, or have none"
    if not {needed, central_needed} <= _VERSIONS_NEEDED or made_by & 0xFF not in _MADE_BY:
        return f"its headers name the versions {needed}, {central_needed} and {made_by & 0xFF}"
    if flags & ~(UTF8 | (_SPEED if entry.method == DEFLATED else 0)):
        return f"its headers have the flags 0x{flags:04X}"
    mode, dos = external >> 16, external & 0xFFFF
    if made_by >> 8 not in _MADE_ON or dos not in {0, _DOS_ARCHIVE} or (mode and mode & ~0o777 != _REGULAR_FILE):
        return f"its directory record has the attributes 0x{external:08X} of system {made_by >> 8}"
    if disk or internal > 1:
        return "its directory record has a disk, or internal attributes"
    return None


def is_dos_time(time: int, date: int) -> bool:
    """Whether it is a time as MS-DOS has it; all zero is none, which some signers write."""
    if not time and not date:
        return True
    day, month = date & 0x1F, date >> 5 & 0x0F
    second, minute, hour = (time & 0x1F) * 2, time >> 5 & 0x3F, time >> 11
    return day >= 1 and 1 <= month <= 12 and second < 60 and minute < 60 and hour < 24


def _deflate_fault(packed: bytes, content: bytes) -> str | None:
    """Why the deflated data (RFC 1951) holds more than `content`: it is longer than it takes, or bits after its end
    are set. That it ends with its last byte was found by unpacking."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    shortest = len(deflater.compress(content) + deflater.flush())
    if len(packed) > shortest + _SLACK + shortest // _SLACK_RATIO:
        return f"its {len(packed)} bytes are packed, where {shortest} hold the same"
    for bit in range(8):
        if packed[-1] >> bit & 1 and _inflates(packed[:-1] + bytes([packed[-1] ^ 1 << bit]), content):
            return "bits after the end of its packed data are set"
    return None


def _inflates(packed: bytes, content: bytes) -> bool:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = inflater.decompress(packed, len(content) + 1)
    except zlib.error:
        return False
    return inflater.eof and unpacked == content
