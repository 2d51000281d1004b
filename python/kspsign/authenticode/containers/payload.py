"""What other files hold that are not containers here: the cabinets of an MSI, the payload of a self-extractor.

It is not signed with the file that holds it, and not rewritten: an MSI states sizes and versions of its files in its
tables, a self-extractor the place of its payload in its program. It is recognised by its first bytes alone, so that
reports can name it.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import BinaryIO, Final, NamedTuple

from kspsign.authenticode.cab.entries import file_names
from kspsign.authenticode.cab.header import read_head
from kspsign.authenticode.io.snapshot import CHUNK, Snapshot
from kspsign.authenticode.msi import MsiFile
from kspsign.authenticode.pe.layout import PeLayout, read_layout
from kspsign.authenticode.zip import read_archive
from kspsign.model.errors import ArtifactError
from kspsign.model.values import Format

_MOST_NAMES: Final = 1000
_CABINET: Final = re.compile(rb"MSCF\x00{4}.{4}\x00{4}", re.DOTALL)
_ZIP: Final = re.compile(rb"PK\x03\x04[\x0a-\x3f]\0..[\0\x08\x09\x0c\x0e\x5d\x5f\x63]\0", re.DOTALL)
_ARCHIVES: Final = {
    _CABINET: "a cabinet",
    _ZIP: "a ZIP archive",
    re.compile(rb"7z\xbc\xaf\x27\x1c"): "a 7-Zip archive",
    re.compile(rb"Rar!\x1a\x07"): "a RAR archive",
    re.compile(rb"\xef\xbe\xad\xdeNullsoftInst"): "an NSIS installation",
    re.compile(rb"idska32\x1a|zlb\x1a"): "an Inno Setup installation",
}
"""What an archive begins with: so much of its first header that code which only knows the mark is not taken for one.
That of NSIS follows its flags."""
_REACH: Final = 1 << 20
"""Bytes after the sections of a program in which a payload begins; text that configures a self-extractor precedes."""
_BUNDLE_MARK: Final = hashlib.sha256(b".net core bundle").digest()
"""What follows, in a .NET host, the 64-bit offset of the header of a single-file bundle (bundle_marker.h)."""
_BURN, _RESOURCES = b".wixburn", b".rsrc\0\0\0"


class Payload(NamedTuple):
    """Something that holds files, and what it is in: `place` ("" for the file itself), `kind` as a noun with its
    article, and the names of the `files`, where its directory lists them."""

    place: str
    kind: str
    files: tuple[str, ...] = ()


def find_payloads(snapshot: Snapshot, format_: Format | None) -> tuple[Payload, ...]:
    """What the file holds and a signature inside does not reach; empty for a file of any other format.

    Raises ArtifactError when its structure contradicts itself.
    """
    if format_ is Format.MSI:
        return tuple(_in_package(snapshot))
    if format_ is Format.CAB:
        with snapshot.open() as file:
            return (Payload("", "a cabinet", _cabinet_names(file, snapshot.size)),)
    if format_ is Format.PE:
        with snapshot.open() as file:
            return tuple(_in_program(file, snapshot))
    return ()


def _in_package(snapshot: Snapshot) -> Iterator[Payload]:
    """The cabinets in the streams of an MSI or MSP."""
    compound = MsiFile.open(snapshot).compound
    with snapshot.open() as file:
        for storage in compound.root.walk():
            for stream in storage.streams:
                head = next(compound.read(file, stream), b"")
                if _CABINET.match(head):
                    size = struct.unpack_from("<I", head.ljust(12, b"\0"), 8)[0]
                    yield Payload(_stream_name(stream.name), "a cabinet", _cabinet_names(io.BytesIO(head), size))


def _in_program(file: BinaryIO, snapshot: Snapshot) -> Iterator[Payload]:
    layout = read_layout(file, snapshot.size, clear_stale=True)
    start = max((offset + size for offset, size in layout.sections), default=0)
    if _BURN in layout.names:
        yield Payload(".wixburn", "the containers of a WiX bundle")
        return
    if _is_dotnet_bundle(file, layout):
        yield Payload("after its sections", "a .NET single-file bundle")
        return
    for name, (place, size) in zip(layout.names, layout.sections, strict=True):
        if name == _RESOURCES:
            yield from _at(file, snapshot, place, size, "in its resources")
    yield from _at(file, snapshot, start, layout.content_end - start, "after its sections")


def _at(file: BinaryIO, snapshot: Snapshot, start: int, size: int, where: str) -> Iterator[Payload]:
    """The first archive that begins there."""
    file.seek(start)
    head = file.read(min(max(size, 0), _REACH))
    found = [(match.start(), kind) for kind in _ARCHIVES if (match := kind.search(head))]
    if not found:
        return
    at, kind = min(found, key=itemgetter(0))
    names: tuple[str, ...] = ()
    if kind is _CABINET:
        names = _cabinet_names(io.BytesIO(head[at:]), size - at)
    elif kind is _ZIP:
        names = _zip_names(file, snapshot, start + at, size - at)
    yield Payload(where, _ARCHIVES[kind], names)


def _is_dotnet_bundle(file: BinaryIO, layout: PeLayout) -> bool:
    """Whether it is the host of a single-file bundle: its mark is in the image, after the offset of a header."""
    for start, size in layout.sections:
        before = bytes(8)
        file.seek(start)
        for at in range(0, size, CHUNK):
            window = before + file.read(min(CHUNK, size - at))
            found = window.find(_BUNDLE_MARK, 8)
            if found >= 0:
                return any(window[found - 8 : found])
            before = window[-len(_BUNDLE_MARK) - 8 :]
    return False


def _cabinet_names(file: BinaryIO, size: int) -> tuple[str, ...]:
    """The names of the files in a cabinet of which `file` has the beginning; empty when they are not in it."""
    try:
        return tuple(islice(file_names(file, read_head(file, size)), _MOST_NAMES))
    except ArtifactError:
        return ()


def _zip_names(file: BinaryIO, snapshot: Snapshot, start: int, size: int) -> tuple[str, ...]:
    """Those in an archive; empty where it is not one that is read strictly."""
    try:
        return tuple(entry.name for entry in read_archive(file, snapshot, start, size, comment=True).entries)
    except ArtifactError:
        return ()


def _stream_name(name: bytes) -> str:
    """The name of a stream as an MSI means it: two characters are stored as one, from U+3800 on."""
    text = ""
    for (unit,) in struct.iter_unpack("<H", name):
        if 0x3800 <= unit < 0x4800:
            text += _letter(unit - 0x3800 & 0x3F) + _letter(unit - 0x3800 >> 6)
        elif 0x4800 <= unit < 0x4840:
            text += _letter(unit - 0x4800)
        elif unit != _TABLE:
            text += chr(unit)
    return text


_TABLE: Final = 0x4840
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"


def _letter(index: int) -> str:
    return _LETTERS[index]
