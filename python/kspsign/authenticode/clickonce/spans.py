"""Where the elements of a document are in its bytes, so that a change of one leaves all other bytes as they are."""

from __future__ import annotations

import re
from typing import NamedTuple

from kspsign.authenticode.appx.xml import BoundedParser
from kspsign.authenticode.xmldsig.document import Document, XmlNode, parse_document

_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^<>"'])*>""")
_CLOSING = re.compile(rb"</[^<>]*>")


class Span(NamedTuple):
    """Offsets of an element: its first byte, the end of its start tag, its end tag (for an element without one the end
    of the only tag), and what follows it."""

    begin: int
    opened: int
    closing: int
    end: int


class LocatedDocument(NamedTuple):
    """A document, its bytes (UTF-8), and where each element of it is."""

    data: bytes
    document: Document
    spans: dict[XmlNode, Span]

    @property
    def root(self) -> XmlNode:
        """Its root."""
        return self.document.root

    def source(self, element: XmlNode) -> bytes:
        """The bytes of the element."""
        span = self.spans[element]
        return self.data[span.begin : span.end]

    def start_tag(self, element: XmlNode) -> bytes:
        """The bytes of its start tag."""
        span = self.spans[element]
        return self.data[span.begin : span.opened]


def locate(data: bytes) -> LocatedDocument:
    """The document with its spans. Raises ValueError when it is not well-formed (see parse_document), or not in
    UTF-8."""
    if b"\0" in data[:4] or data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise ValueError("it is in UTF-16: manifests are read in UTF-8")
    document = parse_document(data)
    spans = _spans(data)
    return LocatedDocument(data, document, dict(zip(document.root.iterate(), spans, strict=True)))


def _spans(data: bytes) -> list[Span]:
    """Those of all elements in document order."""
    begins: list[int] = []
    ends: dict[int, int] = {}
    stack: list[int] = []

    def opened(_name: str, _attributes: dict[str, str]) -> None:
        stack.append(len(begins))
        begins.append(parser.expat.CurrentByteIndex)

    def closed() -> None:
        ends[stack.pop()] = parser.expat.CurrentByteIndex

    parser = BoundedParser(opened, closed=closed)
    parser.feed(data)
    return [_span(data, begin, ends[number]) for number, begin in enumerate(begins)]


def _span(data: bytes, begin: int, closing: int) -> Span:
    tag = _TAG.match(data, begin)
    if tag is None:
        raise ValueError("it is not written in UTF-8")
    if tag[0].endswith(b"/>"):
        return Span(begin, tag.end(), tag.end(), tag.end())
    end = _CLOSING.match(data, closing)
    if end is None:
        raise ValueError("it is not written in UTF-8")
    return Span(begin, tag.end(), closing, end.end())


def with_edits(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`data` with other bytes in place of those from begin to end of each edit; none overlaps another."""
    written: list[bytes] = []
    at = 0
    for begin, end, content in sorted(edits):
        written += (data[at:begin], content)
        at = end
    return b"".join((*written, data[at:]))
