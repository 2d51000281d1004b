"""One pass over a file, on which two processors work at a time when it is large.

Small formats are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from os import SEEK_END
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult

CHUNK = 1 << 20
LARGE = 16 << 20
"""Bytes from which a second thread pays."""
Taker = Callable[[int, memoryview], None]


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


def read_through(path: Path, size: int, first: Taker, second: Taker) -> int:
    """Give every piece of the file (of about `size` bytes), in order and with its offset, to both takers.

    Returns how many bytes there were. A piece is valid until its taker returns. Of a large file each taker has a thread
    and a reading of its own, which takes less than handing pieces over: the system's cache answers whoever comes
    second. Raises file_changed when they found different ends.
    """
    if size < LARGE:
        return _read(path, size, first, second)
    other = _beside(path, size, second)
    try:
        end = _read(path, size, first)
    finally:
        wait((other,))
    if other.result() != end:
        raise file_changed()
    return end


def _beside(path: Path, size: int, taker: Taker) -> Future[int]:
    """`_read` in a thread that does not hold up the end of the process: a cancelled run abandons it."""
    end: Future[int] = Future()

    def read() -> None:
        try:
            end.set_result(_read(path, size, taker))
        except BaseException as error:  # noqa: BLE001 - it is raised where the end is asked for
            end.set_exception(error)

    Thread(target=read, name="reading", daemon=True).start()
    return end


def _read(path: Path, size: int, *takers: Taker) -> int:
    position = 0
    buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            for take in takers:
                take(position, buffer[:count])
            position += count
    return position
