"""Changed copies of real files: some blind, some that keep a structure whole around the place they change."""

from __future__ import annotations

import random
import struct

from kspsign.certificates import der
from kspsign.model.errors import TrustError

_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x1FF, 0x200, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_MAX_STEPS = 4
_TAGS = (0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x17, 0x18, 0x30, 0x31, 0xA0, 0xA1)


def mutated(data: bytes, random_source: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """`data` after one to four random changes; `others` lend pieces."""
    for _ in range(random_source.randint(1, _MAX_STEPS)):
        data = random_source.choice(_STEPS)(data, random_source, others or (data,))
    return data


def mutated_der(data: bytes, random_source: random.Random) -> bytes:
    """DER with one element changed, and every length around it made right again: it still parses as DER."""
    try:
        path = _random_path(der.parse(data, data[0]), random_source)
    except (TrustError, IndexError):
        return _flip(data, random_source, ())
    inner = _changed_element(path[-1], random_source)
    for outer, child in zip(reversed(path[:-1]), reversed(path[1:]), strict=True):
        before = outer.data[outer.content_start : child.start]
        inner = der.element(outer.tag, before, inner, outer.data[child.end : outer.end])
    return inner


def _random_path(element: der.Element, random_source: random.Random) -> list[der.Element]:
    path = [element]
    while path[-1].tag & 0x20 and random_source.random() < 0.93:
        try:
            children = path[-1].children()
        except TrustError:
            break
        if not children:
            break
        path.append(random_source.choice(children))
    return path


def _changed_element(element: der.Element, random_source: random.Random) -> bytes:
    tag, content = element.tag, element.content
    return random_source.choice(
        (
            b"",
            element.der * 2,
            der.element(random_source.choice(_TAGS), content),
            der.element(tag),
            der.element(tag, random_source.randbytes(random_source.choice((1, 2, 8, 33, 300)))),
            der.element(tag, content, random_source.randbytes(1)),
            der.element(tag, _flip(content, random_source, ()) if content else b"\0"),
        )
    )


def _flip(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    if not data:
        return b"\1"
    place = _place(data, random_source)
    return data[:place] + bytes([data[place] ^ 1 << random_source.randrange(8)]) + data[place + 1 :]


def _number(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    """A number of two, four or eight bytes, where numbers stand, with a value that hurts."""
    form = random_source.choice(("<H", "<I", "<Q", ">H"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    place = min(_place(data, random_source) & ~1, len(data) - size)
    value = random_source.choice((*_NUMBERS, len(data), max(len(data) - 1, 0))) & ((1 << 8 * size) - 1)
    if random_source.random() < 0.3:
        value = (struct.unpack_from(form, data, place)[0] + random_source.choice((-1, 1))) & ((1 << 8 * size) - 1)
    return data[:place] + struct.pack(form, value) + data[place + size :]


def _cut(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    return data[: _place(data, random_source)] if data else data


def _drop(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    start, stop = _span(data, random_source)
    return data[:start] + data[stop:]


def _repeat(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    start, stop = _span(data, random_source)
    return data[:stop] + data[start:stop] + data[stop:]


def _graft(data: bytes, random_source: random.Random, others: tuple[bytes, ...]) -> bytes:
    other = random_source.choice(others)
    start, stop = _span(other, random_source)
    place = _place(data, random_source) if data else 0
    return data[:place] + other[start:stop] + data[place + stop - start :]


def _append(data: bytes, random_source: random.Random, _others: tuple[bytes, ...]) -> bytes:
    return data + random_source.randbytes(random_source.choice((1, 7, 8, 512)))


def _place(data: bytes, random_source: random.Random) -> int:
    """Most structure stands at the beginning and at the end."""
    size = len(data)
    near = min(size, 1024)
    draw = random_source.random()
    if draw < 0.4:
        return random_source.randrange(near)
    if draw < 0.7:
        return size - 1 - random_source.randrange(near)
    return random_source.randrange(size)


def _span(data: bytes, random_source: random.Random) -> tuple[int, int]:
    if not data:
        return 0, 0
    start = _place(data, random_source)
    return start, min(len(data), start + random_source.choice((1, 2, 4, 8, 32, 512, 4096)))


_STEPS = (_flip, _flip, _number, _number, _cut, _drop, _repeat, _graft, _append)
