"""One content of a file: what was read once is found again, or the file changed."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import BLOCK, CHUNK, LARGE, DiskState, Snapshot
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

SIZE = LARGE + 3 * BLOCK + 77


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(SIZE))
    return path


def write(path: Path, at: int, data: bytes) -> None:
    """Change the file through a mapping; its times may stay as they are."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        content[at : at + len(data)] = data


def test_a_small_file_stays_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"as it was")
    snapshot = Snapshot(path)
    path.write_bytes(b"something else, and more of it")
    with snapshot.open() as file:
        assert file.read() == b"as it was"
    assert snapshot.whole(9) == b"as it was"
    assert snapshot.whole(8) is None
    assert snapshot.sha256() == hashlib.sha256(b"as it was").hexdigest()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, CHUNK + 5])
@pytest.mark.parametrize("keep", [True, False])
def test_every_way_of_reading_gives_the_content(tmp_path: Path, size: int, *, keep: bool) -> None:
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(data)
    snapshot, chance = Snapshot(path, keep=keep), random.Random(2)  # noqa: S311 - the same places each time
    assert snapshot.sha256() == hashlib.sha256(data).hexdigest()
    assert b"".join(bytes(piece) for _, piece in snapshot.pieces()) == data
    assert snapshot.whole(size) == data
    assert snapshot.head(100) == data[:100]
    with snapshot.open() as file:
        assert file.read() == data
        assert file.read(1) == b""
        for _ in range(200):
            at, count = chance.randrange(size + 10), chance.randrange(2 * BLOCK)
            assert file.seek(at) == at
            assert file.read(count) == data[at : at + count]
            assert file.tell() == max(at, min(at + count, size))
        assert file.seek(0, os.SEEK_END) == size
        assert file.seek(-size, os.SEEK_CUR) == 0


@pytest.mark.parametrize("at", [0, BLOCK, LARGE, SIZE - 1])
def test_a_block_that_is_read_again_must_be_the_same(large: Path, at: int) -> None:
    snapshot = Snapshot(large)
    with snapshot.open() as file:
        file.seek(at)
        (value,) = file.read(1)
    write(large, at, bytes([value ^ 1]))
    with pytest.raises(ArtifactError, match="changed while it was read") as caught:
        snapshot.sha256()
    assert caught.value.hresult is Hresult.ERROR_SHARING_VIOLATION
    write(large, at, bytes([value]))
    assert snapshot.sha256() == hashlib.sha256(large.read_bytes()).hexdigest()


def test_what_changes_before_it_is_read_is_the_content(large: Path) -> None:
    snapshot = Snapshot(large)
    assert snapshot.head(4) == large.read_bytes()[:4]
    write(large, SIZE - 9, b"new")
    assert snapshot.sha256() == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_single_reading_after_the_sequential_one_is_checked(large: Path) -> None:
    snapshot = Snapshot(large)
    snapshot.sha256()
    write(large, 5 * BLOCK + 3, b"other bytes")
    with snapshot.open() as file:
        assert len(file.read(BLOCK)) == BLOCK
        file.seek(5 * BLOCK + 500)
        with pytest.raises(ArtifactError, match="changed while it was read"):
            file.read(1)


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1, 0])
def test_another_size_is_another_content(large: Path, size: int) -> None:
    snapshot = Snapshot(large)
    os.truncate(large, size)
    with pytest.raises(ArtifactError, match="changed while it was read"):
        snapshot.sha256()


def test_the_state_of_a_file_lasts_until_it_is_written_to(tmp_path: Path) -> None:
    before = DiskState(1, 2, 3, 4, 5, links=2)
    assert before.lasts(before)
    assert before.lasts(before._replace(changed_ns=6, links=1))
    assert before.lasts(before._replace(links=3)), "on Windows another name changes no time"
    for other in (
        before._replace(changed_ns=6),
        before._replace(changed_ns=6, links=3),
        before._replace(changed_ns=6, modified_ns=7, links=1),
        before._replace(size=4, links=1),
        before._replace(inode=3, links=1),
    ):
        assert not before.lasts(other)
    path, name = tmp_path / "file", tmp_path / "name"
    path.write_bytes(b"content")
    name.hardlink_to(path)
    state = DiskState.of(path)
    name.unlink()
    assert state.lasts(DiskState.of(path))
    path.write_bytes(b"changed!")
    assert not state.lasts(DiskState.of(path))
