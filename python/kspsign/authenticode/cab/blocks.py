"""The data blocks of a cabinet (CFDATA), whose reserve has a size that no signature covers: with another size the
same bytes would be other blocks, and extractors would bring other files out of a signed cabinet.

So every byte must be in one place: after the list of files come the blocks of one folder after the other, up to the
end. All blocks but a folder's last hold 32 KiB, and all together what its files need. Checksums must be right where
there are some. And no other size of the reserve may lead to blocks that keep these rules too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kspsign.authenticode.cab.entries import FileList, read_file_list
from kspsign.authenticode.cab.header import RESERVED, CabHead, Folder
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import Finding

_HEADER = struct.Struct("<IHH")
_FULL = 0x8000
_MOST_PACKED = _FULL + 6144
"""Bytes that a compressor may make of a full block at most (the format's own limit)."""
_STORED, _METHOD = 0, 0x000F
_RESERVES = range(256)
_MOST_BLOCKS = 0xFFFF
_MOST_IN_ALL = 1 << 20
"""Blocks of all folders: 32 GiB of content, more than a cabinet of 4 GiB holds but one that was built to take time."""
_STRIDE = 4096  # bytes that are added up at a time: Python does so as one number
_TRIED = 1024
"""Blocks of a folder that are tried with other reserves; a wrong reserve never gets this far by chance."""


@dataclass(frozen=True, slots=True)
class _Span:
    """A folder's blocks: from where to where, and how many bytes its files need (None when other cabinets have a
    part of them)."""

    folder: Folder
    end: int
    needed: int | None

    @property
    def where(self) -> str:
        return f"the blocks from {self.folder.start} on"


def blocks_finding(file: BinaryIO, head: CabHead, *, summed: bool) -> Finding:
    """The check "data-blocks" of the cabinet in `file`; the blocks' checksums only where `summed`, since that takes
    reading all of it."""
    folders = sorted((span for span in head.spans() if span.blocks), key=lambda span: span.start)
    first = folders[0].start if folders else head.cabinet
    files = read_file_list(file, head, first)
    if isinstance(files, str):
        return _malformed(files)
    blocks = sum(span.blocks for span in folders)
    if fault := _layout_fault(files, first, blocks):
        return _malformed(fault)
    spans = list(_spans(folders, files, head))
    faults = (_fault(file, span, head.data_reserve, summed=summed) for span in spans)
    if fault := next(filter(None, faults), None):
        return _malformed(fault)
    other = _other_reading(file, spans, head)
    if other is not None:
        return _malformed(
            f"with a reserve of {other} bytes in place of {head.data_reserve} the data would be read "
            "differently, and its size is not signed"
        )
    if not spans:
        return Finding("data-blocks", "there are none")
    return Finding(
        "data-blocks", f"{blocks} in {count(len(spans), 'folder')}, with a reserve of {head.data_reserve} bytes"
    )


def _layout_fault(files: FileList, first: int, blocks: int) -> str | None:
    if files.end != first:
        return f"{first - files.end} bytes between the list of files and the data belong to nothing"
    if blocks > _MOST_IN_ALL:
        return f"there are {blocks} data blocks, more than are read here ({_MOST_IN_ALL})"
    return None


def _spans(folders: list[Folder], files: FileList, head: CabHead) -> Iterator[_Span]:
    ends = [later.start for later in folders[1:]] + [head.cabinet] * bool(folders)
    for folder, end in zip(folders, ends, strict=True):
        yield _Span(folder, end, None if folder.number in files.continued else files.extents[folder.number])


def _fault(file: BinaryIO, span: _Span, reserve: int, *, summed: bool = False, most: int = _MOST_BLOCKS) -> str | None:
    """The fault of a folder's blocks (the first `most`) when they are read with a `reserve` of so many bytes."""
    at, total = span.folder.start, 0
    for left in range(span.folder.blocks - 1, -1, -1):
        if span.folder.blocks - left > most:
            return None
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or at + _HEADER.size > span.end:
            return f"{span.where} end at {at}, not at {span.end}: some are missing"
        _, packed, size = _HEADER.unpack(header)
        stop = at + _HEADER.size + reserve + packed
        if stop > span.end:
            at = stop
            break
        fault = _lengths_fault(span, packed, size, last=not left)
        if fault is None and summed:
            fault = _checksum_fault(header, file.read(reserve + packed), reserve)
        if fault is not None:
            return f"the block at {at} {fault}"
        at, total = stop, total + size
    if at != span.end:
        return f"with a reserve of {reserve} bytes {span.where} end at {at}, not at {span.end}"
    if span.needed not in {None, total}:
        return f"{span.where} hold {total} bytes, their files need {span.needed}"
    return None


def _lengths_fault(span: _Span, packed: int, size: int, *, last: bool) -> str | None:
    # The last block of a cabinet in a set states no size when the next cabinet has the rest of it.
    if size > _FULL or not (last or size == _FULL) or not (size or span.needed is None):
        return f"holds {size} bytes, all but the last of a folder must hold {_FULL}"
    stored = span.folder.method & _METHOD == _STORED and span.needed is not None
    if packed > _MOST_PACKED or (stored and packed != size):
        return f"has {packed} bytes for a content of {size}"
    return None


def _checksum_fault(header: bytes, data: bytes, reserve: int) -> str | None:
    """Whether the checksum, where there is one, is as writers compute it: over lengths and data; some take the reserve
    in."""
    stated = int.from_bytes(header[:4], "little")
    if not stated:
        return None
    content = _xor(data[reserve:])
    right = stated in {content ^ _xor(header[4:]), content ^ _xor(header[4:] + data[:reserve])}
    return None if right else "does not match its checksum"


def _other_reading(file: BinaryIO, spans: list[_Span], head: CabHead) -> int | None:
    """Another size of the reserve with which the blocks of all folders keep the rules, None when there is none."""
    if not spans or not head.flags & RESERVED:
        return None
    others = (reserve for reserve in _RESERVES if reserve != head.data_reserve)
    return next(
        (other for other in others if all(_fault(file, span, other, most=_TRIED) is None for span in spans)), None
    )


def _xor(data: bytes) -> int:
    """The exclusive or of the 32-bit little-endian words of `data`, and of what is left over as a big-endian number."""
    rest = len(data) - len(data) % 4
    words, width = 0, _STRIDE
    with memoryview(data) as view:
        for at in range(0, rest, _STRIDE):
            words ^= int.from_bytes(view[at : min(at + _STRIDE, rest)], "little")
        while width > 4:  # one half upon the other
            width //= 2
            words = (words & ((1 << (8 * width)) - 1)) ^ (words >> (8 * width))
        return words ^ int.from_bytes(view[rest:])


def _malformed(fault: str) -> Finding:
    return Finding("data-blocks", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE)
