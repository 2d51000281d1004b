"""One pass over a file: every piece is read once, and a large file is worked on by two processors at a time.

Small formats are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult

CHUNK = 1 << 20
LARGE = 16 << 20
"""Bytes from which a second thread pays."""
_BUFFERS = 3


def file_changed() -> ArtifactError:
    """The error (ERROR_SHARING_VIOLATION) for a file that is no longer as large as it was when it was opened."""
    return ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")


def stretch(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of `file` in pieces of CHUNK; raises file_changed when there are fewer."""
    while size > 0:
        piece = file.read(min(CHUNK, size))
        if not piece:
            raise file_changed()
        yield piece
        size -= len(piece)


def whole(path: Path, most: int) -> bytes | None:
    """The content of the file, None when it has more than `most` bytes."""
    with path.open("rb") as file:
        # Python sets aside as much memory as is asked for.
        size = file.seek(0, SEEK_END)
        file.seek(0)
        return None if size > most else file.read(size)


def pieces(file: BinaryIO, size: int, beside: Callable[[int, memoryview], None]) -> Iterator[tuple[int, memoryview]]:
    """The pieces of `file` (about `size` bytes) in order, each with its offset; a piece is valid until the next.

    `beside` is called with each piece too, in order; for a large file in another thread, so that it and the caller
    work at the same time. All its calls have ended when the pieces have.
    """
    if size < LARGE:
        position = 0
        buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
        while count := file.readinto(buffer):  # type: ignore[attr-defined]  # a raw file has it
            beside(position, buffer[:count])
            yield position, buffer[:count]
            position += count
        return
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as helper:
        yield from _with_helper(file, beside, helper)


def _with_helper(
    file: BinaryIO, beside: Callable[[int, memoryview], None], helper: ThreadPoolExecutor
) -> Iterator[tuple[int, memoryview]]:
    buffers = [memoryview(bytearray(CHUNK)) for _ in range(_BUFFERS)]
    under_way: list[Future[None] | None] = [None] * _BUFFERS
    position = number = 0
    while True:
        turn = number % _BUFFERS
        if (before := under_way[turn]) is not None:
            before.result()
        count = file.readinto(buffers[turn])  # type: ignore[attr-defined]  # a raw file has it
        if not count:
            break
        piece = buffers[turn][:count]
        under_way[turn] = helper.submit(beside, position, piece)
        yield position, piece
        position, number = position + count, number + 1
    for each in under_way:
        if each is not None:
            each.result()
