"""A run writes the table on request: with a failed file as failed, and in no folder that can't be made."""

from __future__ import annotations

from pathlib import Path

from support.samples import copy_launcher, kspsign


def test_the_table_says_what_failed(tmp_path: Path) -> None:
    path, table = copy_launcher(tmp_path), tmp_path / "new" / "table.csv"
    run = kspsign("verify", path, "--csv", table, folder=tmp_path)
    assert run.code == 2
    assert table.read_text(encoding="utf-8").splitlines() == ["path,outcome,verdict", f"{path},checked,failed"]
    assert kspsign("verify", path, "--csv", path / "table.csv", folder=tmp_path).code == 3
