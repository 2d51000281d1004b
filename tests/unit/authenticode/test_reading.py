"""Files read once for two takers, who have a thread each when the file is large."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import pytest

from kspsign.authenticode.io.read import read_through
from kspsign.authenticode.io.snapshot import CHUNK, LARGE, Snapshot
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult


class Taken:
    """A taker that keeps what it is given, and tells which thread gave it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.threads: set[int] = set()

    def __call__(self, position: int, piece: memoryview) -> None:
        assert position == len(self.data)
        self.data += piece
        self.threads.add(threading.get_ident())


def content(size: int) -> bytes:
    """Numbers that all differ, so that a piece in the wrong place is seen."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, LARGE - 1, LARGE, LARGE + 12345])
def test_both_get_every_byte_in_order(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(size))
    first, second = Taken(), Taken()
    read_through(Snapshot(path), first, second)
    assert first.data == second.data == path.read_bytes()
    assert len(first.threads | second.threads) == (2 if size >= LARGE else int(size > 0))


def test_readings_that_end_elsewhere_are_told(tmp_path: Path) -> None:
    """The first begins when the second has it all, and finds a shorter file."""
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE + 5 * CHUNK))
    read = threading.Event()

    def first(position: int, _piece: memoryview) -> None:
        assert read.wait(timeout=30)
        if not position:
            with path.open("r+b") as file:
                file.truncate(LARGE)

    def second(position: int, piece: memoryview) -> None:
        if position + len(piece) == LARGE + 5 * CHUNK:
            read.set()

    with pytest.raises(ArtifactError, match="changed while it was read") as caught:
        read_through(Snapshot(path), first, second)
    assert caught.value.hresult is Hresult.ERROR_SHARING_VIOLATION


def test_what_ends_the_other_thread_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE))

    def full(_position: int, _piece: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        read_through(Snapshot(path), Taken(), full)


ABANDONED = """
import sys, threading
from pathlib import Path
from kspsign.authenticode.io.read import read_through
from kspsign.authenticode.io.snapshot import Snapshot

path, reached, never = Path(sys.argv[1]), threading.Barrier(3), threading.Event()

def hang(*_):
    reached.wait()
    never.wait()

given = Snapshot(path), hang, hang
threading.Thread(target=read_through, args=given, daemon=True).start()
reached.wait()
print("over")
"""


def test_a_reading_does_not_hold_up_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(LARGE))
    ended = subprocess.run(
        [sys.executable, "-c", ABANDONED, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.split() == ["over"]
