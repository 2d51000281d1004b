"""The XML of a package's own parts, its types and relationships: a root with empty elements in it.

It is read as every writer of packages spells it, and no other way: one space before each attribute, the same white
space between all elements, no comment. So there is no room for anything else in the one of them that no signature
covers, and elements are added and taken out without touching what stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kspsign.authenticode.xmldsig.document import XmlNode, parse_document

_NAME = r"(?:[A-Za-z]\w*:)?[A-Za-z]\w*"
_ATTRIBUTE = rf' {_NAME}="[^"<]*"'
_HEAD = re.compile(
    r'\ufeff?(?:<\?xml version="1\.0"(?: encoding="(?:utf-8|UTF-8)")?(?: standalone="(?:yes|no)")?\?>)?((?:\r?\n)?)'
)
_ROOT = re.compile(rf"<({_NAME})((?:{_ATTRIBUTE})+)>", re.ASCII)
_ITEM = re.compile(rf"([ \t\r\n]*)<({_NAME})((?:{_ATTRIBUTE})+)( ?/>)", re.ASCII)
_END = re.compile(rf"([ \t\r\n]*)</({_NAME})>((?:\r?\n)?)", re.ASCII)
_KEY = re.compile(rf' ({_NAME})="', re.ASCII)


@dataclass(frozen=True, slots=True)
class FlatXml:
    """A document: what is before its elements, these as they are written, and what is after them. `gap` is before each
    element, `ending` ends each."""

    start: str
    items: tuple[str, ...]
    end: str
    gap: str
    ending: str
    prefix: str
    elements: tuple[XmlNode, ...]

    @property
    def content(self) -> bytes:
        """The document."""
        return "".join((self.start, *(f"{self.gap}<{item}{self.ending}" for item in self.items), self.end)).encode()

    def with_items(self, name: str, added: Sequence[Mapping[str, str]]) -> bytes:
        """The document with further elements of this name and these attributes."""
        items = (f"{self.prefix}{name}" + "".join(f' {key}="{value}"' for key, value in item.items()) for item in added)
        return replace(self, items=(*self.items, *items)).content

    def without(self, is_cut: Callable[[XmlNode], bool]) -> bytes:
        """The document without the elements for which `is_cut` is true."""
        pairs = zip(self.items, self.elements, strict=True)
        return replace(self, items=tuple(item for item, element in pairs if not is_cut(element))).content

    def order_of(self, name: str) -> tuple[str, ...]:
        """The attributes of its elements of that name, in the order of the first of them; () without any."""
        found = (item for item, element in zip(self.items, self.elements, strict=True) if element.name == name)
        return tuple(_KEY.findall(next(found, "")))


def read_flat(data: bytes, name: str, namespace: str) -> FlatXml:
    """The document whose root has that expanded name; raises ValueError when it is another or otherwise spelled."""
    document = parse_document(data)
    root = document.root
    if not root.is_named(namespace, name) or root.attributes or set(root.declared.values()) != {namespace}:
        raise ValueError(f"its root is not {name}, or has something other than its namespace")
    if any(element.children or element.declared for element in root.elements):
        raise ValueError("an element in it is not empty, or declares a namespace")
    try:
        text = data.decode()
    except UnicodeDecodeError as other:
        raise ValueError("it is not in UTF-8") from other
    head = _HEAD.match(text)
    at = 0 if head is None else head.end()
    start = _ROOT.match(text, at)
    if head is None or start is None:
        raise _spelled_otherwise()
    at, found = start.end(), []
    while (item := _ITEM.match(text, at)) is not None:
        found.append(item)
        at = item.end()
    end = _END.fullmatch(text, at)
    gaps, endings = {item[1] for item in found}, {item[4] for item in found}
    if end is None or max(len(gaps), len(endings)) > 1 or not _are_alike(found):
        raise _spelled_otherwise()
    gap, ending = "".join(gaps), "".join(endings) or "/>"
    breaks = gap or "UTF-8" in head[0]  # Go's writer makes a line break after the declaration and no other
    if not gap.startswith(end[1]) or ((head[1] or end[3]) and not breaks):
        raise _spelled_otherwise()
    items = tuple(f"{item[2]}{item[3]}" for item in found)
    prefix = f"{root.prefix}:" if root.prefix else ""
    return FlatXml(head[0] + start[0], items, text[at:], gap, ending, prefix, root.elements)


def _are_alike(items: Sequence[re.Match[str]]) -> bool:
    """Whether the elements of one name have their attributes in one order, of which some may be missing."""
    longest: dict[str, list[str]] = {}
    for item in items:
        longest[item[2]] = max(longest.get(item[2], []), _KEY.findall(item[3]), key=len)
    for item in items:
        left = iter(longest[item[2]])
        if not all(key in left for key in _KEY.findall(item[3])):
            return False
    return True


def _spelled_otherwise() -> ValueError:
    return ValueError(
        "it is spelled in a way that no program writes it: there is a comment, or spaces, quotes or the order of "
        "attributes differ within it"
    )
