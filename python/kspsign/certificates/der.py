"""DER (X.690 §8, §10): a writer, and a reader whose elements are views of the bytes read.

A signature is a few dozen elements. Written and read here they cost a tenth of what a general library takes, and
what was signed keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 4
MAX_ELEMENTS = 4096
"""In one element, when all are read at once: each takes a hundred bytes here, and two in the file."""
_HIGH_TAG_NUMBER = 0x1F


def element(tag: int, *parts: bytes) -> bytes:
    """One element: identifier octet `tag`, definite length, `parts` one after the other."""
    content = b"".join(parts)
    length = len(content)
    if length < _LONG_FORM:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, _LONG_FORM | len(octets))) + octets + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of whole elements."""
    return element(SEQUENCE, *parts)


def set_of(*elements: bytes, tag: int = SET) -> bytes:
    """A SET OF whole elements, sorted as DER wants it (X.690 §11.6); `tag` where it is implicitly tagged."""
    return element(tag, *sorted(elements))


def octet_string(content: bytes) -> bytes:
    """An OCTET STRING."""
    return element(OCTET_STRING, content)


def integer(value: int) -> bytes:
    """An INTEGER."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | _LONG_FORM)
        content += bytes(reversed(octets))
    return element(OID, bytes(content))


class Element(NamedTuple):
    """An element in `data`: its tag, and where it starts, where its content starts and where both end."""

    data: bytes
    tag: int
    start: int
    content_start: int
    end: int

    @property
    def der(self) -> bytes:
        """The whole element."""
        return self.data[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The element without tag and length."""
        return self.data[self.content_start : self.end]

    def children(self, most: int = MAX_ELEMENTS) -> tuple[Element, ...]:
        """The elements that its content consists of; more than `most` raise TrustError, as they are not stored."""
        found = _elements(self.data, self.content_start, self.end, most + 1)
        if len(found) > most:
            raise malformed(f"more than {most} elements at {self.content_start}")
        return tuple(found)

    def iterate(self) -> Iterator[Element]:
        """The same one by one, however many there are; raises TrustError where one is cut off."""
        at = self.content_start
        while at < self.end:
            found = _elements(self.data, at, self.end, MAX_ELEMENTS)
            yield from found
            at = found[-1].end

    def first(self) -> Element:
        """The first of them; raises TrustError when there is none."""
        return _element(self.data, self.content_start, self.end)

    def leading(self, count: int) -> tuple[Element, ...]:
        """The first `count` elements of its content, fewer when there are not so many; what follows is not read."""
        return tuple(_elements(self.data, self.content_start, self.end, count))

    def fields(self) -> Fields:
        """Its content, to be taken field by field."""
        return Fields(self)


class Fields:
    """The fields of a structure in their order; what is not as asked for raises TrustError (see `parse`)."""

    def __init__(self, structure: Element) -> None:
        self._elements = structure.children()
        self._next = 0

    def take(self, *tags: int) -> Element:
        """The next field, which must be there and have one of `tags`."""
        found = self.optional(*tags)
        if found is None:
            raise malformed(f"a field with tag 0x{tags[0]:02X} is missing")
        return found

    def optional(self, *tags: int) -> Element | None:
        """The next field if it is there and has one of `tags`."""
        if self._next < len(self._elements) and self._elements[self._next].tag in tags:
            self._next += 1
            return self._elements[self._next - 1]
        return None

    def end(self) -> None:
        """Nothing may be left."""
        if self._next < len(self._elements):
            raise malformed(f"a field with tag 0x{self._elements[self._next].tag:02X} too many")


def parse(data: bytes, tag: int = SEQUENCE) -> Element:
    """The one element that `data` is.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when it is none with `tag`, is not DER, or
    bytes follow it.
    """
    found = _element(data, 0, len(data))
    if found.end != len(data) or found.tag != tag:
        raise malformed(f"an element with tag 0x{found.tag:02X} and {len(data) - found.end} bytes after it")
    return found


def oid_of(found: Element) -> str:
    """The dotted form of an OBJECT IDENTIFIER; raises TrustError when it is none (see `parse`)."""
    if found.tag != OID:
        raise malformed(f"tag 0x{found.tag:02X} where an object identifier is due")
    return _dotted(found.content)


def integer_of(found: Element) -> int:
    """The value of an INTEGER; raises TrustError when it is not DER (see `parse`)."""
    content = found.content
    if not content or (len(content) > 1 and content[0] in {0, 0xFF} and (content[0] ^ content[1]) < _LONG_FORM):
        raise malformed("an integer that is not DER")
    return int.from_bytes(content, signed=True)


def time_of(found: Element) -> datetime:
    """The moment of a UTCTime or GeneralizedTime in UTC (X.690 §11.7, §11.8; RFC 5280 §4.1.2.5 for the century).

    Raises TrustError when it is none (see `parse`).
    """
    text = found.content.decode("latin-1")
    digits, dot, fraction = text.removesuffix("Z").partition(".")
    if found.tag == UTC_TIME and len(digits) == 12:
        digits = ("19" if digits >= "50" else "20") + digits
    plain = f"{digits}{fraction}"
    if (
        not text.endswith("Z")
        or len(digits) != 14
        or bool(dot) != bool(fraction)
        or not (plain.isascii() and plain.isdigit())
    ):
        raise malformed(f"the time {text!r}")
    try:
        month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
        moment = datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as impossible:
        raise malformed(f"the time {text!r}") from impossible
    return moment + timedelta(microseconds=int(fraction[:6].ljust(6, "0")) if fraction else 0)


@lru_cache(maxsize=1024)
def _dotted(content: bytes) -> str:
    if not content or content[-1] & _LONG_FORM:
        raise malformed("an object identifier that is cut off")
    arcs, arc, begins = [], 0, True
    for octet in content:
        if begins and octet == _LONG_FORM:
            raise malformed("an object identifier that is not DER")
        arc = arc << 7 | octet & 0x7F
        begins = not octet & _LONG_FORM
        if begins:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def message_size(data: bytes) -> int | None:
    """Octets of the SEQUENCE that `data` starts with, None when it is not a DER SEQUENCE that ends inside."""
    try:
        found = _element(data, 0, len(data))
    except TrustError:
        return None
    return found.end if found.tag == SEQUENCE else None


def malformed(what: str) -> TrustError:
    """The error for bytes that are not the structure they should be."""
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, f"it can't be parsed: {what}", check="cms-structure")


def _element(data: bytes, at: int, limit: int) -> Element:
    found = _elements(data, at, limit, 1)
    if not found:
        raise malformed("an element is cut off")
    return found[0]


def _elements(data: bytes, at: int, limit: int, most: int) -> list[Element]:
    """The elements from `at` to `limit`, the first `most` of them. One loop without calls: every field passes here."""
    found: list[Element] = []
    while at < limit and len(found) != most:
        if at + 2 > limit:
            raise malformed("an element is cut off")
        tag, length, content = data[at], data[at + 1], at + 2
        if tag & _HIGH_TAG_NUMBER == _HIGH_TAG_NUMBER:
            raise malformed(f"a tag of several octets at {at}")
        if length >= _LONG_FORM:
            octets = length - _LONG_FORM
            if not 0 < octets <= _MAX_LENGTH_OCTETS or content + octets > limit:
                raise malformed(f"a length of {octets} octets at {at}")
            length, content = int.from_bytes(data[content : content + octets]), content + octets
            if length < _LONG_FORM or length >> (8 * (octets - 1)) == 0:
                raise malformed(f"a length that is not DER at {at}")
        end = content + length
        if end > limit:
            raise malformed(f"an element at {at} is longer than its container")
        found.append(Element(data, tag, at, content, end))
        at = end
    return found
