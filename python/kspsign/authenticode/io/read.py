"""One pass over a file; a large file is processed by two threads in parallel.

Small formats are read whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from threading import Thread
from typing import BinaryIO, TypeVar

from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

CHUNK = 1 << 20
LARGE = 16 << 20
"""Bytes from which a second thread pays."""
Taker = Callable[[int, memoryview], None]
Result = TypeVar("Result")


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
    with in_parallel(size, lambda: _read(path, size, second)) as other:
        end = _read(path, size, first)
        if other() != end:
            raise file_changed()
        return end


def sha256_of(path: Path, size: int) -> str:
    """The sha256 (hex) of the whole file; raises file_changed when it has not `size` bytes any more."""
    with path.open("rb", buffering=0) as file:
        whole = hashlib.file_digest(file, "sha256")
        if file.tell() != size:
            raise file_changed()
        return whole.hexdigest()


@contextmanager
def in_parallel(size: int, step: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Run `step`, which reads a file of `size` bytes, in parallel; yields a function that returns its result or raises.

    Of a large file it has begun in a thread of its own, which the end of the block waits for and the end of the
    process does not: a cancelled run abandons it.
    """
    if size < LARGE:
        yield step
        return
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(step())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            result.set_exception(error)

    Thread(target=run, name="reading", daemon=True).start()
    try:
        yield result.result
    finally:
        wait((result,))


def _read(path: Path, size: int, *takers: Taker) -> int:
    position = 0
    buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            for take in takers:
                take(position, buffer[:count])
            position += count
    return position
