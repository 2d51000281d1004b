"""Files are replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.concurrency.atomic_write import write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "entry.json"
    write_atomically(target, (b"old",))
    write_atomically(target, (b"new",))
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {"entry.json": b"new"}


def test_a_target_that_cannot_be_replaced_stays_and_leaves_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(target, (b"new",))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
