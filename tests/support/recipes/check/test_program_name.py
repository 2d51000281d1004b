"""A program's name that fits is verified; one that is too long is refused for that alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.samples import Store, copy_launcher, kspsign


def checks(store: Store, folder: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    path = copy_launcher(folder)
    terms = ("--thumbprint", store.thumbprint, "--store", store.folder)
    run = kspsign("sign", path, *terms, *options, folder=folder)
    return run.code, run.file["verdict"]["checks"]


def test_a_name_must_fit(store: Store, tmp_path: Path) -> None:
    code, found = checks(store, tmp_path, "--description", "x" * 64)
    assert (code, [check["detail"] for check in found if check["name"] == "program-name"]) == (0, ["x" * 64])
    code, found = checks(store, tmp_path, "--description", "x" * 65)
    assert (code, [check["name"] for check in found if not check["ok"]]) == (2, ["program-name"])
