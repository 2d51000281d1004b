"""Writes new sizes and digests of files into AppxBlockMap.xml; everything else in it keeps its bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kspsign.authenticode.appx.block_map import NAMESPACES, MappedFile
from kspsign.authenticode.appx.names import from_windows
from kspsign.authenticode.appx.xml import XmlElement, read_xml, tag_at, with_attributes

_NAME = re.compile(rb"<([^\s/>]+)")


@dataclass(slots=True)
class _Place:
    """Offsets of the element of a file: its start tag, its first Block, its FileHash, and its end tag."""

    file: MappedFile
    start: int
    block: int | None = None
    whole: int | None = None
    end: int = 0


def edit_block_map(document: bytes, files: Mapping[str, MappedFile]) -> bytes:
    """The block map with these files, by plain name, in place of those of the same names. The document was read by
    read_block_map before. Raises ValueError when it is not written in UTF-8, or says more of these files."""
    finder = _Finder(files)
    read_xml(document, finder.start, end=finder.end)
    written, at = [], 0
    for place in finder.places:
        opening = tag_at(document, place.start)
        written += [document[at : place.start], _element(document, place, opening)]
        is_empty = opening.endswith(b"/>")
        at = place.start + len(opening) if is_empty else place.end + len(tag_at(document, place.end))
    return b"".join((*written, document[at:]))


class _Finder:
    """Takes in the elements of a block map, and keeps the places of the files that are to change."""

    def __init__(self, files: Mapping[str, MappedFile]) -> None:
        self.places: list[_Place] = []
        self._files = files
        self._open: _Place | None = None

    def start(self, element: XmlElement) -> None:
        """The next start tag."""
        if element.depth == 1:
            name = from_windows(element.attributes.get("Name", ""))
            if element.name == "File" and name in self._files:
                self._open = _Place(self._files[name], element.at)
        elif self._open is not None:
            self._child(self._open, element)

    def end(self, depth: int, at: int) -> None:
        """The next end tag."""
        if depth == 1 and self._open is not None:
            self._open.end = at
            self.places.append(self._open)
            self._open = None

    @staticmethod
    def _child(place: _Place, element: XmlElement) -> None:
        if element.namespace not in NAMESPACES:
            raise ValueError(f"it says more of a file than its blocks: {element.name}")
        if element.name == "FileHash":
            place.whole = element.at
        elif place.block is None:
            place.block = element.at


def _element(document: bytes, place: _Place, opening: bytes) -> bytes:
    """The new element of a file."""
    name = _tag_name(opening)
    block = _tag_name(tag_at(document, place.block)) if place.block else name.removesuffix(b"File") + b"Block"
    head = with_attributes(opening, {b"Size": b"%d" % place.file.size})
    head = head.removesuffix(b">").removesuffix(b"/").rstrip() + b">"
    blocks = (
        b'<%s Hash="%s"%s/>' % (block, base64.b64encode(digest), b"" if size is None else b' Size="%d"' % size)
        for digest, size in zip(place.file.digests, place.file.packed, strict=True)
    )
    whole = b""
    if place.whole is not None and place.file.whole is not None:
        old = tag_at(document, place.whole)
        whole = with_attributes(old, {b"Hash": base64.b64encode(place.file.whole)})
        whole += b"" if old.endswith(b"/>") else b"</%s>" % _tag_name(old)
    return b"".join((head, *blocks, whole, b"</%s>" % name))


def _tag_name(tag: bytes) -> bytes:
    found = _NAME.match(tag)
    if found is None:
        raise ValueError("it is not written in UTF-8")
    return found[1]
