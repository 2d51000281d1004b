"""One change of the file around a message, and the changes of bytes that every format has."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from generative.samples import Sample

FILLINGS = (b"\0", b"\0" * 8, b"payload", b"payload" * 100, b"\xff\xff", b"\r\n")
_STRIDES = (1, 2, 4, 8, 16, 64, 128, 512)


@dataclass(frozen=True)
class FileChange:
    """One change of a file; `offset` is where it begins, or the number of what was changed, -1 for the whole."""

    kind: str
    detail: str
    offset: int
    make: Callable[[], bytes]

    @property
    def label(self) -> str:
        return f"{self.kind} {self.detail} at {self.offset}"


def byte_changes(sample: Sample, source: random.Random, count: int) -> Iterator[FileChange]:
    """`count` random changes of bytes, most of them near the message and the ends of the file, where nothing or only
    numbers are signed."""
    data = sample.data
    borders = sorted({0, len(data), data.find(sample.message[:64]) if sample.message[:64] in data else len(data)})
    for _ in range(count):
        at = source.randrange(len(data))
        if source.random() < 0.5:
            at = min(max(source.choice(borders) + source.randint(-200, 200), 0), len(data) - 1)
        size, filling = source.choice(_STRIDES), source.choice(FILLINGS)
        kind, detail, cut, new = source.choice(
            (
                ("flip", "", 1, bytes([data[at] ^ 1 << source.randrange(8)])),
                ("set", "", 1, source.randbytes(1)),
                ("put in", f"{len(filling)}", 0, filling),
                ("cut out", f"{size}", size, b""),
                ("double", f"{size}", 0, data[at : at + size]),
                ("write over", f"{len(filling)}", len(filling), filling),
            )
        )
        yield FileChange(kind, detail, at, partial(spliced, data, at, cut, new))
    for filling in FILLINGS:
        yield FileChange("append", f"{len(filling)}", len(data), partial(spliced, data, len(data), 0, filling))


def spliced(data: bytes, at: int, size: int, new: bytes) -> bytes:
    """`data` with `new` in place of the `size` bytes at `at`."""
    return data[:at] + new + data[at + size :]
