"""Whether an archive that was written again is the former one but for some entries, by Python's zipfile; and what
other readers make of it. Nothing of ours is used here."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Collection
from pathlib import Path

_KEPT = (
    "orig_filename", "date_time", "compress_type", "comment", "create_system", "create_version", "extract_version",
    "reserved", "flag_bits", "volume", "internal_attr", "external_attr",
)  # fmt: skip
_CONTENT = ("CRC", "compress_size", "file_size")
_LOCAL = 30


def differing(before: Path, after: Path, *, without: Collection[str] = ()) -> set[str]:
    """The names of the entries whose local header, packed data or directory record differ, but for the offset.

    Raises AssertionError when names, their order, or what no replacement changes (attributes, dates, comments, extra
    fields, flags, methods, the archive's comment) are not the same. The archive `after` is one `without` those names.
    """
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(after) as new:
        assert new.comment == old.comment
        kept = [info for info in old.infolist() if info.filename not in without]
        assert new.namelist() == [info.filename for info in kept]
        found = set[str]()
        for one, other in zip(kept, new.infolist(), strict=True):
            assert [getattr(one, name) for name in _KEPT] == [getattr(other, name) for name in _KEPT], one.filename
            assert _other_extras(one.extra) == _other_extras(other.extra), one.filename
            numbers = [[getattr(info, name) for name in _CONTENT] for info in (one, other)]
            if numbers[0] != numbers[1] or _raw(old, one) != _raw(new, other):
                found.add(one.filename)
        return found


def readers_accept(path: Path) -> None:
    """Every reader finds all entries whole: Python, Info-ZIP's unzip, 7-Zip."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    for command in (("unzip", "-tqq", str(path)), ("7zz", "t", "-bd", "-bso0", "-tzip", str(path))):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, (command, run.stdout, run.stderr)


def _raw(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Local header and packed data as they are in the file."""
    file = archive.fp
    assert file is not None
    file.seek(info.header_offset)
    header = file.read(_LOCAL)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return header + file.read(names + info.compress_size)


def _other_extras(extra: bytes) -> list[bytes]:
    """The extra fields but that of Zip64, which has the offset."""
    fields, at = [], 0
    while at + 4 <= len(extra):
        end = at + 4 + int.from_bytes(extra[at + 2 : at + 4], "little")
        if extra[at : at + 2] != b"\1\0":
            fields.append(extra[at:end])
        at = end
    return fields
