"""Whether a document is spelled as one of the programs that write signatures spells them.

Canonicalisation gives many spellings one form, and much of a signature is not signed at all. Where a document is
nothing but a signature, what its bytes could hold besides what is read of them is refused: spaces in tags, quotes,
character references, CDATA sections, another declaration.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from kspsign.authenticode.xmldsig.canonical import escape_text, escape_value
from kspsign.authenticode.xmldsig.document import Document, XmlNode

_MARKS = (b"", b"\xef\xbb\xbf")
_DECLARATION = '<?xml version="1.0" encoding="{}"?>'.format
DECLARATIONS = ("", _DECLARATION("utf-8"), _DECLARATION("UTF-8"), _DECLARATION("UTF-8") + "\n")
"""What programs write before the root: .NET the second, Go's the last."""


class Empty(Enum):
    """How an element without content is written, by one program always the same way."""

    PAIR = "pair"
    SHORT = "/>"
    SPACED = " />"


_STYLES = (
    (Empty.PAIR, True),
    (Empty.SHORT, True),
    (Empty.SHORT, False),
    (Empty.SPACED, True),
    (Empty.SPACED, False),
)
"""How programs write empty elements, and whether an element's declarations come before its attributes."""


def is_plain(data: bytes, document: Document) -> bool:
    """Whether `data`, which was parsed to `document`, is spelled as a program would: elements, attributes and text
    without anything else, in UTF-8, always in the same way."""
    if document.before or document.after:
        return False
    heads = {mark + declaration.encode() for mark in _MARKS for declaration in DECLARATIONS}
    for empty, declared_first in _STYLES:
        body = "".join(_spelled(document.root, empty, declared_first=declared_first)).encode()
        if data.endswith(body) and data[: len(data) - len(body)] in heads:
            return True
    return False


def spelled(element: XmlNode) -> str:
    """The element as it is written here: what it has keeps its order."""
    return "".join(_spelled(element, Empty.PAIR, declared_first=True))


def _spelled(element: XmlNode, empty: Empty, *, declared_first: bool) -> Iterator[str]:
    name = f"{element.prefix}:{element.name}" if element.prefix else element.name
    declared = [
        f' xmlns{":" if prefix else ""}{prefix}="{escape_value(uri)}"' for prefix, uri in element.declared.items()
    ]
    own = [
        f' {item.prefix}{":" if item.prefix else ""}{item.name}="{escape_value(item.value)}"'
        for item in element.attributes
    ]
    yield f"<{name}" + "".join((*declared, *own) if declared_first else (*own, *declared))
    if not element.children and empty is not Empty.PAIR:
        yield empty.value
        return
    yield ">"
    for child in element.children:
        if isinstance(child, XmlNode):
            yield from _spelled(child, empty, declared_first=declared_first)
        elif isinstance(child, str):
            yield escape_text(child)
        # A comment or instruction is left out here, and so the spelling differs.
    yield f"</{name}>"
