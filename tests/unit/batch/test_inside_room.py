"""A disk that is full while files are taken out of a container: the container fails, and nothing waits for ever."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kspsign.batch.inside.extract import Extractor
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.batch.inside.opener import Opener
from kspsign.batch.inside.patterns import InsidePatterns
from kspsign.model.values import Artifact
from support.formats.nested import image, zipped


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond a hundred bytes: not for longer, since pytest's own output may be one."""
    if sys.platform == "win32":
        pytest.skip("Windows has no limit for the size of files")
    import resource  # noqa: PLC0415 - not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _opener(folder: PrivateFolder) -> Opener:
    return Opener(Extractor(folder), InsidePatterns(["**"]), None, demanded=False, signs=True, replaces=False)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    path = tmp_path / "some.zip"
    path.write_bytes(zipped({"a.exe": image(1)}))
    return Artifact(str(path), "some.zip", None, path.stat().st_size)


def test_a_full_disk_fails_the_container(artifact: Artifact, tmp_path: Path) -> None:
    with PrivateFolder(tmp_path) as folder, full_disk():
        opened = _opener(folder).open(artifact)
    assert opened is not None
    error = opened.node.error
    assert error is not None
    assert error.code == "TEMP_FOLDER_UNUSABLE"
    assert str(tmp_path) in error.message
    assert not opened.artifacts


def test_with_room_the_container_is_opened(artifact: Artifact, tmp_path: Path) -> None:
    with PrivateFolder(tmp_path) as folder:
        opened = _opener(folder).open(artifact)
    assert opened is not None
    assert opened.node.error is None
    assert [inner.name for inner in opened.artifacts] == ["some.zip/a.exe"]
