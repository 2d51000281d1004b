"""[Content_Types].xml (ECMA-376 Part 2 §10.1.2): the type of each part, and where the signature's entry goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kspsign.authenticode.appx.names import CONTENT_TYPES, SIGNATURE, from_windows, plain
from kspsign.authenticode.appx.xml import XmlElement, read_xml

_NAMESPACE = "http://schemas.openxmlformats.org/package/2006/content-types"
_SIGNATURE_PART = f"/{SIGNATURE}"
_SIGNATURE_TYPE = "application/vnd.ms-appx.signature"


@dataclass(frozen=True, slots=True)
class ContentTypes:
    """`extensions` and `parts` are in lower case, as they are compared; `content` is the document."""

    content: bytes
    extensions: dict[str, str]
    parts: dict[str, str]
    end_tag: int

    @property
    def name_signature(self) -> bool:
        """Whether the signature has its type."""
        return self.parts.get(_SIGNATURE_PART.lower()) == _SIGNATURE_TYPE

    def with_signature(self) -> bytes:
        """The document with the signature's type in it, before its end tag; ValueError when that can't be."""
        tag = self.content[self.end_tag :]
        if not tag.startswith(b"</"):
            raise ValueError(f"{CONTENT_TYPES} is not written in UTF-8, or is empty")
        prefix = tag[2:].partition(b">")[0].strip().rpartition(b"Types")[0]
        override = b'<%sOverride PartName="%s" ContentType="%s"/>'
        added = override % (prefix, _SIGNATURE_PART.encode(), _SIGNATURE_TYPE.encode())
        return self.content[: self.end_tag] + added + tag

    def fault(self, names: Iterable[str]) -> str | None:
        """Why not every one of these parts has a content type; None when all have one."""
        for name in names:
            if name == CONTENT_TYPES or f"/{plain(name)}".lower() in self.parts:
                continue
            stem, dot, extension = name.rpartition("/")[2].rpartition(".")
            if name == SIGNATURE or not (stem or dot) or extension.lower() not in self.extensions:
                return f"{name} has no content type"
        if _SIGNATURE_PART.lower() in self.parts and not self.name_signature:
            return f"{SIGNATURE} has another content type than {_SIGNATURE_TYPE}"
        return None


def read_content_types(data: bytes) -> ContentTypes:
    """The types in `data`; raises ValueError when they are malformed or one thing has two."""
    extensions: dict[str, str] = {}
    parts: dict[str, str] = {}

    def start(element: XmlElement) -> None:
        if element.depth == 0 and (element.namespace, element.name) != (_NAMESPACE, "Types"):
            raise ValueError("its root is not Types")
        if element.depth != 1 or element.namespace != _NAMESPACE:
            return
        kind = element.attributes.get("ContentType", "")
        if element.name == "Default":
            _add(extensions, element.attributes.get("Extension", ""), kind)
        elif element.name == "Override":
            _add(parts, from_windows(plain_part(element.attributes.get("PartName", ""))), kind)

    end_tag = read_xml(data, start)
    return ContentTypes(data, extensions, parts, end_tag)


def plain_part(name: str) -> str:
    """A part's plain name with its slash in front."""
    return "/" + plain(name.removeprefix("/"))


def _add(table: dict[str, str], key: str, kind: str) -> None:
    key = key.lower()
    if not key or not kind or key in table:
        raise ValueError(f'"{key}" has no content type, or two')
    table[key] = kind
