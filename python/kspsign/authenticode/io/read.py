"""One pass over a file; a large file is processed by two threads in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import BinaryIO, TypeVar

from kspsign.authenticode.io.snapshot import CHUNK, LARGE, Snapshot, file_changed

Taker = Callable[[int, memoryview], None]
Result = TypeVar("Result")


def stretch(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of `file` in pieces of CHUNK; raises file_changed when there are fewer."""
    while size > 0:
        piece = file.read(min(CHUNK, size))
        if not piece:
            raise file_changed()
        yield piece
        size -= len(piece)


def read_through(snapshot: Snapshot, first: Taker, second: Taker) -> None:
    """Give every piece of the content, in order and with its offset, to both takers.

    A piece is valid until its taker returns. Of a large file each taker has a thread and a reading of its own, which
    takes less than handing pieces over: the system's cache answers whoever comes second.
    """
    if snapshot.size < LARGE:
        _read(snapshot, first, second)
        return
    with in_parallel(snapshot.size, lambda: _read(snapshot, second)) as other:
        _read(snapshot, first)
        other()


@contextmanager
def in_parallel(size: int, step: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Run `step`, which reads a file of `size` bytes, in parallel; yields a function that returns its result or raises.

    Of a large file it has begun in a thread of its own, which the end of the block waits for and the end of the
    process does not: a cancelled run abandons it.
    """
    if size < LARGE:
        yield step
        return
    from concurrent.futures import Future, wait  # noqa: PLC0415 - most files are small

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


def _read(snapshot: Snapshot, *takers: Taker) -> None:
    for position, piece in snapshot.pieces():
        for take in takers:
            take(position, piece)
