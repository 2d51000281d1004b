"""Every change of one element in a DER message: inserted, repeated, reordered, dropped, or encoded another way.

All lengths around it are made right again, so that what is judged is the element, not a broken length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from kspsign.certificates import der
from kspsign.model.errors import TrustError

PAYLOADS: dict[str, bytes] = {
    "NULL": b"\x05\x00",
    "BOOLEAN": b"\x01\x01\xff",
    "INTEGER": der.integer(7),
    "OCTET STRING": der.octet_string(b"payload" * 6),
    "BIT STRING": der.element(der.BIT_STRING, b"\0payload"),
    "OID": der.oid("1.2.3.4"),
    "UTF8String": der.element(0x0C, b"payload"),
    "SEQUENCE": der.sequence(),
    "SET": der.element(der.SET),
    "attribute": der.sequence(der.oid("1.2.3.4"), der.element(der.SET, der.octet_string(b"payload" * 6))),
    "algorithm": der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00"),
    "[0]": der.element(0xA0, der.octet_string(b"payload")),
    "[1]": der.element(0xA1, der.octet_string(b"payload")),
    "[2]": der.element(0xA2, der.sequence()),
    "[3]": der.element(0xA3, der.octet_string(b"payload")),
    "[0] primitive": der.element(0x80, b"payload"),
    "[1] primitive": der.element(0x81, b"payload"),
    "end of contents": b"\x00\x00",
    "blob": der.octet_string(bytes(range(256)) * 32),
    "no DER": b"\xff\xff\xff",
}
_CONSTRUCTED = 0x20
_MAX_DEPTH = 60


@dataclass(frozen=True)
class Node:
    """An element: its tag, its encoding, and the elements in it (None: it holds none)."""

    tag: int
    der: bytes
    children: tuple[Node, ...] | None

    @property
    def content(self) -> bytes:
        return der.parse(self.der, self.tag).content


@dataclass(frozen=True)
class Change:
    """One change of a message: `kind` with what it was done to, the tags that lead there, and the changed message."""

    kind: str
    detail: str
    place: tuple[int, ...]
    parents: tuple[Node, ...]
    position: int
    make: Callable[[], bytes]

    @property
    def label(self) -> str:
        where = "/".join(f"{index}:{node.tag:02X}" for index, node in zip((0, *self.place), self.parents, strict=False))
        return f"{self.kind} {self.detail} at {where}#{self.position}"


def tree(data: bytes, depth: int = 0) -> Node:
    """The elements of `data`; an OCTET STRING that holds one whole element is looked into."""
    found = der.parse(data, data[0])
    children: tuple[Node, ...] | None = None
    if depth < _MAX_DEPTH and (found.tag & _CONSTRUCTED or found.tag == der.OCTET_STRING):
        try:
            inner = found.children(1 if found.tag == der.OCTET_STRING else der.MAX_ELEMENTS)
            is_wrapper = found.tag != der.OCTET_STRING or (len(inner) == 1 and inner[0].tag == der.SEQUENCE)
            children = tuple(tree(field.der, depth + 1) for field in inner) if is_wrapper else None
        except TrustError:
            children = None
    return Node(found.tag, data, children)


def changes(root: Node) -> Iterator[Change]:
    """Every change of every element."""
    yield from _changes((root,), ())


def _changes(parents: tuple[Node, ...], place: tuple[int, ...]) -> Iterator[Change]:
    node = parents[-1]

    def change(kind: str, detail: str, position: int, make: Callable[[], bytes]) -> Change:
        return Change(kind, detail, place, parents, position, partial(_around, parents, place, make))

    yield change("recode", "long length", 0, partial(_long_length, node))
    yield change("recode", "indefinite length", 0, partial(_indefinite, node))
    if node.children is None:
        yield change("extend", "a byte", 0, partial(_filled, node, node.tag, b"", b"\0"))
        yield change("extend", "a byte before", 0, partial(_filled, node, node.tag, b"\0", b""))
        yield change("empty", "", 0, partial(der.element, node.tag))
        yield change("retag", "", 0, partial(_filled, node, 0x04 if node.tag != 0x04 else 0x0C, b"", b""))
        return
    parts = [child.der for child in node.children]

    for at in range(len(parts) + 1):
        for name, payload in PAYLOADS.items():
            yield change("insert", name, at, partial(der.element, node.tag, *parts[:at], payload, *parts[at:]))
    for at, part in enumerate(parts):
        yield change("repeat", "", at, partial(der.element, node.tag, *parts[:at], part, *parts[at:]))
        yield change("drop", "", at, partial(der.element, node.tag, *parts[:at], *parts[at + 1 :]))
        if at and parts[at - 1] != part:
            order = [*parts[: at - 1], part, parts[at - 1], *parts[at + 1 :]]
            yield change("reorder", "", at, partial(der.element, node.tag, *order))
    for at, child in enumerate(node.children):
        yield from _changes((*parents, child), (*place, at))


def _around(parents: tuple[Node, ...], place: tuple[int, ...], make: Callable[[], bytes]) -> bytes:
    """The whole message with what `make` gives in place of the last of `parents`."""
    changed = make()
    for parent, index in zip(reversed(parents[:-1]), reversed(place), strict=True):
        siblings = [child.der for child in parent.children or ()]
        changed = der.element(parent.tag, *siblings[:index], changed, *siblings[index + 1 :])
    return changed


def _filled(node: Node, tag: int, before: bytes, after: bytes) -> bytes:
    return der.element(tag, before, node.content, after)


def _indefinite(node: Node) -> bytes:
    return bytes([node.tag, 0x80]) + node.content + b"\0\0"


def _long_length(node: Node) -> bytes:
    size = len(node.content)
    octets = size.to_bytes(max(1, (size.bit_length() + 7) // 8) + 1)
    return bytes([node.tag, 0x80 | len(octets)]) + octets + node.content
