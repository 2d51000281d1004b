"""The list of files of a cabinet (CFFILE): which bytes of which folder each file has."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kspsign.authenticode.cab.header import MAX_NAME, NEXT, PREVIOUS, CabHead

_ENTRY = struct.Struct("<IIHHHH")
_FROM_PREVIOUS, _TO_NEXT, _THROUGH = 0xFFFD, 0xFFFE, 0xFFFF
"""Folder numbers of files whose data begins in the cabinet before, goes on in the next one, or both."""
_UTF8_NAME = 0x80
_LONGEST = _ENTRY.size + MAX_NAME + 1


@dataclass(frozen=True, slots=True)
class FileList:
    """`end` is where the list ends, `extents` how many bytes of each folder its files need, and `continued` the
    folders whose data is in several cabinets."""

    end: int
    extents: tuple[int, ...]
    continued: frozenset[int]


def read_file_list(file: BinaryIO, head: CabHead, limit: int) -> FileList | str:
    """The list of files of the cabinet in `file`, which must end at `limit` at the latest; a fault when it does not,
    or when a file is in no folder."""
    file.seek(head.files)
    data = file.read(min(limit - head.files, head.file_count * _LONGEST))
    extents, continued, at = [0] * head.folder_count, set[int](), 0
    for number in range(head.file_count):
        end = data.find(b"\0", at + _ENTRY.size, at + _LONGEST) + 1
        if not end:
            return f"the entry of file {number + 1} of {head.file_count} is cut off or has no end"
        size, offset, index, *_ = _ENTRY.unpack_from(data, at)
        folder, split = _folder(index, head)
        if folder is None:
            return f"file {number + 1} is in folder {index}, and there are {head.folder_count}"
        extents[folder] = max(extents[folder], offset + size)
        if split:
            continued.add(folder)
        at = end
    return FileList(head.files + at, tuple(extents), frozenset(continued))


def file_names(file: BinaryIO, head: CabHead) -> Iterator[str]:
    """The names of the files of the cabinet in `file`, with slashes, in their order; as many as are there in full."""
    file.seek(head.files)
    data, at = file.read(head.file_count * _LONGEST), 0
    for _ in range(head.file_count):
        end = data.find(b"\0", at + _ENTRY.size, at + _LONGEST)
        if end < 0:
            return
        encoding = "utf-8" if _ENTRY.unpack_from(data, at)[5] & _UTF8_NAME else "latin-1"
        yield data[at + _ENTRY.size : end].decode(encoding, "replace").replace("\\", "/")
        at = end + 1


def _folder(index: int, head: CabHead) -> tuple[int | None, bool]:
    """The folder of a file whose entry says `index`, None when there is none; and whether it is in several cabinets."""
    before, after = bool(head.flags & PREVIOUS), bool(head.flags & NEXT)
    if index < head.folder_count:
        return index, False
    if not head.folder_count:
        return None, False
    if index == _FROM_PREVIOUS and before:
        return 0, True
    if index == _TO_NEXT and after:
        return head.folder_count - 1, True
    return (0 if head.folder_count == 1 else None, True) if index == _THROUGH and before and after else (None, False)
