"""Parses a package's XML element by element; a document type declaration is refused.

Entities and external references need a document type, and no part of a package has one. Nothing is built up in
memory: expat reports elements as it meets them. What it keeps for itself (open elements, every name it has met, a tag
until that ends) is bounded here: a few hundred KiB, deflated, would else take a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

MAX_DEPTH, MAX_NAMES = 100, 10_000
"""Elements in each other, and different names of elements, attributes and prefixes."""
_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^<>"'])*>""")
_ATTRIBUTE = re.compile(rb"""(\s)([^\s=<>"']+)(\s*=\s*)("[^"]*"|'[^']*')""")
_PIECE = 1 << 20
"""Bytes in which there must be a tag: as many as one of them may take."""


@dataclass(frozen=True, slots=True)
class XmlElement:
    """A start tag: how many elements it is in, its namespace and local name, and its attributes (those without a
    namespace by name, others by "namespace name")."""

    depth: int
    namespace: str
    name: str
    attributes: dict[str, str]
    at: int


def read_xml(
    data: bytes,
    start: Callable[[XmlElement], None],
    namespace: Callable[[str | None, str], None] | None = None,
    text: Callable[[str], None] | None = None,
    end: Callable[[int, int], None] | None = None,
) -> int:
    """Call `start` for the start tags of the document; the offset of the root's end tag in `data`.

    `namespace` is called for the declaration of a prefix (None: the default one) and its namespace, before the element
    that declares it; `text` for pieces of text; `end` for end tags, with their depth and offset.

    Raises ValueError for XML that is not well-formed, has a document type or more than the bounds of this module; what
    `start` raises passes through.
    """
    parser = BoundedParser(
        lambda name, attributes: start(_element(parser, name, attributes)),
        namespace,
        None if end is None else lambda: end(parser.depth, parser.root_end),
    )
    if text is not None:
        parser.expat.CharacterDataHandler = text
    parser.feed(data)
    return parser.root_end


def tag_at(document: bytes, at: int) -> bytes:
    """The tag that begins there, as XmlElement has it; ValueError when the document is not written in UTF-8."""
    found = _TAG.match(document, at)
    if found is None:
        raise ValueError("it is not written in UTF-8")
    return found[0]


def with_attributes(tag: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """The start tag with these values in place of those that its attributes of these names have."""

    def changed(match: re.Match[bytes]) -> bytes:
        value = values.get(match[2])
        return match[0] if value is None else b'%s%s%s"%s"' % (*match.groups()[:3], value)

    return _ATTRIBUTE.sub(changed, tag)


def _element(parser: BoundedParser, name: str, attributes: dict[str, str]) -> XmlElement:
    namespace, _, local = name.rpartition(" ")
    return XmlElement(parser.depth, namespace, local, attributes, parser.expat.CurrentByteIndex)


class BoundedParser:
    """Expat with the bounds of this module: takes what it reports, and keeps count.

    `opened` is called for start tags, with the names as expat has them, and `declared` for the declaration of a prefix.
    Other handlers are set at `expat`. `depth` are the elements that are open, `root_end` is the offset of the root's
    end tag.
    """

    def __init__(
        self,
        opened: Callable[[str, dict[str, str]], None],
        declared: Callable[[str | None, str], None] | None = None,
        closed: Callable[[], None] | None = None,
    ) -> None:
        self.depth, self.root_end = 0, -1
        self.expat = expat.ParserCreate(namespace_separator=" ")
        self._opened, self._declared, self._closed = opened, declared, closed
        self._tags = 0
        self._names: set[str] = set()
        self.expat.StartElementHandler, self.expat.EndElementHandler = self._start, self._end
        self.expat.StartNamespaceDeclHandler = self._declare
        self.expat.StartDoctypeDeclHandler = self._refuse

    def feed(self, data: bytes) -> None:
        """Parse the whole document; raises ValueError like read_xml."""
        try:
            for at in range(0, len(data), _PIECE):
                tags = self._tags
                self.expat.Parse(data[at : at + _PIECE], False)
                if self._tags == tags and at + _PIECE < len(data):
                    raise ValueError(f"a tag, text or comment in it has more than {_PIECE >> 20} MiB")
            self.expat.Parse(b"", True)
        except (expat.ExpatError, LookupError) as broken:  # LookupError: an encoding that Python does not know
            raise ValueError(f"it is not well-formed XML: {broken}") from broken

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._tags += 1
        if name not in self._names or not self._names.issuperset(attributes):
            self._know(name, *attributes)
        if self.depth == MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} elements in it are in each other")
        self._opened(name, attributes)
        self.depth += 1

    def _end(self, _name: str) -> None:
        self.depth -= 1
        self.root_end = self.expat.CurrentByteIndex
        if self._closed is not None:
            self._closed()

    def _declare(self, prefix: str | None, uri: str) -> None:
        self._know(f"{prefix} {uri}")
        if self._declared is not None:
            self._declared(prefix, uri)

    def _know(self, *names: str) -> None:
        self._names.update(names)
        if len(self._names) > MAX_NAMES:
            raise ValueError(f"it has more than {MAX_NAMES} different names")

    @staticmethod
    def _refuse(*_: object) -> NoReturn:
        raise ValueError("it has a document type, which no part of a package may have")
