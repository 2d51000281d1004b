"""A view of a file: its beginning with other bytes in a few places, however it is read."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import CHUNK, LARGE, Snapshot
from kspsign.authenticode.io.view import SnapshotView
from kspsign.model.errors import ArtifactError

PATCHES = {0: b"first", CHUNK - 3: b"across a border", 2 * CHUNK: b"at one", 3 * CHUNK - 4: b"cut off at the end"}
SIZE = 3 * CHUNK


@pytest.fixture(params=[SIZE + 5000, LARGE + 5000], ids=["kept", "large"])
def whole(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "whole.bin"
    path.write_bytes(random.Random(1).randbytes(request.param))  # noqa: S311 - content, no secret
    return path


def expected(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    for offset, new in PATCHES.items():
        content[offset : offset + len(new)] = new
    return bytes(content[:SIZE])


def test_every_reading_gives_the_same(whole: Path) -> None:
    view, content = SnapshotView(Snapshot(whole), SIZE, PATCHES), expected(whole)
    assert view.size == SIZE
    assert b"".join(bytes(piece) for _, piece in view.pieces()) == content
    assert view.sha256() == hashlib.sha256(content).hexdigest()
    assert view.head(100) == content[:100]
    assert (view.whole(SIZE), view.whole(SIZE - 1)) == (content, None)
    with view.open() as file:
        assert file.read() == content
        for at in (0, 2, CHUNK - 1, CHUNK, 2 * CHUNK + 1, SIZE - 2, SIZE):
            assert file.seek(at) == file.tell() == at
            assert file.read(20) == content[at : at + 20]
        assert file.seek(-6, io.SEEK_END) == SIZE - 6
        assert file.read() == content[-6:]


def test_a_change_of_the_file_is_found(whole: Path) -> None:
    """Of a large file, as in the whole; a small one was read at once."""
    view = SnapshotView(Snapshot(whole), SIZE, PATCHES)
    before = view.sha256()
    with whole.open("r+b") as file:
        file.seek(CHUNK + 77)
        file.write(b"changed")
    if whole.stat().st_size < LARGE:
        assert view.sha256() == before
    else:
        with pytest.raises(ArtifactError, match="changed while it was read"):
            view.sha256()
