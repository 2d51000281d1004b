"""Changes of a setup bundle of WiX: the numbers of its section, its parts, and the headers that name the section."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from itertools import combinations, pairwise

from generative.file_changes import FILLINGS, FileChange, spliced
from support.formats.burn_samples import section_of
from support.formats.peimages import parts, patched

_FIELDS = {"magic": 0, "version": 4, "stub": 24, "checksum": 28, "format": 40, "count": 44}
_PLACE, _SIZES = 32, 48
_TOP = 1 << 32


def bundle_changes(data: bytes, sizes: tuple[int, ...]) -> Iterator[FileChange]:
    """Every change of a bundle that is not signed, though its engine may be, and whose containers have these sizes."""
    yield from _numbers(data, sizes)
    yield from _parts(data, sizes)
    yield from _section_headers(data)


def _borders(data: bytes, sizes: tuple[int, ...]) -> list[int]:
    """Where the stub ends, each container does, and the engine's signature between the first two."""
    stub, _, place, size = struct.unpack_from("<IIII", data, section_of(data) + 24)
    ends = [stub, stub + sizes[0], *([place, place + size] if place else [])]
    for size in sizes[1:]:
        ends.append(ends[-1] + size)
    return sorted({*ends})


def _numbers(data: bytes, sizes: tuple[int, ...]) -> Iterator[FileChange]:
    """Each number of the section in place of each other, and what is next to it."""
    at, known = section_of(data), {*_borders(data, sizes), *sizes, *(offset for offset, _ in parts(data).sections)}
    fields = {**_FIELDS, **{f"size {index}": _SIZES + 4 * index for index in range(len(sizes))}}
    for name, offset in fields.items():
        (now,) = struct.unpack_from("<I", data, at + offset)
        near = {now + step for step in (-512, -8, -1, 1, 8, 512)}
        for value in sorted({*near, *known, 0, 1, _TOP // 2, _TOP - now, _TOP - 1} - {now}):
            number = struct.pack("<I", value % _TOP)
            yield FileChange(
                "number", f"{name} {value % _TOP:#x}", at + offset, partial(patched, data, at + offset, number)
            )
    for place in sorted(known | {8, _TOP - 8}):
        for size in (0, 8, 64, _TOP - place, _TOP - 8):
            entry = struct.pack("<II", place, size % _TOP)
            label = f"signature {place:#x} {size:#x}"
            yield FileChange("number", label, at + _PLACE, partial(patched, data, at + _PLACE, entry))


def _parts(data: bytes, sizes: tuple[int, ...]) -> Iterator[FileChange]:
    """Stub and containers dropped, doubled, exchanged, cut, and with something in between."""
    borders = _borders(data, sizes)
    spans = list(pairwise(borders))
    for begin, end in spans:
        part = data[begin:end]
        yield FileChange("part", "dropped", begin, partial(spliced, data, begin, len(part), b""))
        yield FileChange("part", "doubled", begin, partial(spliced, data, begin, 0, part))
        for count in (1, 8, 64):
            yield FileChange("part", f"{count} cut off", end, partial(spliced, data, end - count, count, b""))
            yield FileChange("part", f"{count} of the head cut off", begin, partial(spliced, data, begin, count, b""))
    for (a, b), (c, d) in combinations(spans, 2):
        exchanged = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
        yield FileChange("part", f"exchanged with {c}", a, partial(bytes, exchanged))
    for border in (borders[0] - 512, *borders):
        for filling in FILLINGS:
            yield FileChange("put in", str(len(filling)), border, partial(spliced, data, border, 0, filling))
    for border in borders[:-1]:
        yield FileChange("cut", "the rest", border, partial(bytes, data[:border]))


def _section_headers(data: bytes) -> Iterator[FileChange]:
    """Sections of that name twice, empty, short, and where other things are."""
    table, sections = parts(data).section_table, parts(data).sections
    burn = table + 40
    yield FileChange("section", "first of that name", table, partial(patched, data, table, data[burn : burn + 8]))
    renamed = patched(data, burn, b".wixburx")
    yield FileChange(
        "section", "another one has the name", table, partial(patched, renamed, table, data[burn : burn + 8])
    )
    for size in (0, 47, 48, 52, 60):
        yield FileChange("section", f"{size} bytes", burn, partial(patched, data, burn + 16, struct.pack("<I", size)))
    for place in (0, 0x3C, table, burn, sections[0][0], sections[0][0] + 512, sections[1][0] - 8, sections[1][0] + 512):
        pointer = struct.pack("<I", place)
        yield FileChange("section", f"at {place}", burn, partial(patched, data, burn + 20, pointer))
