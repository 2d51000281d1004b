"""Parses a package's XML element by element; a document type declaration is refused.

Entities and external references need a document type, and no part of a package has one. Nothing is built up in
memory: expat reports elements as it meets them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat


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
) -> int:
    """Call `start` for the start tags of the document; the offset of the root's end tag in `data`.

    `namespace` is called for the declaration of a prefix (None: the default one) and its namespace, before the element
    that declares it; `text` for pieces of text.

    Raises ValueError for XML that is not well-formed or has a document type; what `start` raises passes through.
    """
    depth = 0
    root_end = -1
    parser = expat.ParserCreate(namespace_separator=" ")

    def opened(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        namespace, _, local = name.rpartition(" ")
        start(XmlElement(depth, namespace, local, attributes, parser.CurrentByteIndex))
        depth += 1

    def closed(_name: str) -> None:
        nonlocal depth, root_end
        depth -= 1
        root_end = parser.CurrentByteIndex

    def refuse(*_: object) -> NoReturn:
        raise ValueError("it has a document type, which no part of a package may have")

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.StartDoctypeDeclHandler = refuse
    if namespace is not None:
        parser.StartNamespaceDeclHandler = namespace
    if text is not None:
        parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as broken:  # LookupError: an encoding that Python does not know
        raise ValueError(f"it is not well-formed XML: {broken}") from broken
    return root_end
