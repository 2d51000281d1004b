"""SignTool's verdict beside ours, with a program that answers in its language: many files in few calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.signtool.winlab import Winlab

FILES = 40
RELEASE = "Contoso-Release"


@pytest.fixture
def program(lab: Winlab) -> Path:
    """SignTool's part, played by `kspsign signtool`; each call leaves a line in `calls` next to it."""
    path = lab.folder.parent / "signtool"
    config = f'KSPSIGN_CONFIG="{lab.config()}" XDG_DATA_HOME="{lab.folder.parent}/data"'
    path.write_text(f'#!/bin/sh\necho "$@" >> "$0.calls"\n{config} exec "{sys.executable}" -m kspsign signtool "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script; the Windows lab has SignTool itself")
def test_many_files_are_verified_in_few_calls(lab: Winlab, program: Path) -> None:
    names = [lab.program(f"app{number}.exe").name for number in range(FILES)]
    lab.certsync(RELEASE)
    signed = ("/sha1", lab.thumbprint(RELEASE), "/fd", "SHA256", "/tr", lab.stamps.url, "/td", "SHA256")
    assert lab.signtool("sign", *signed, *names).code == 0
    changed = bytearray((lab.folder / names[7]).read_bytes())
    changed[600] ^= 1
    (lab.folder / names[7]).write_bytes(changed)
    trust = ("--trust-root", str(lab.folder.parent / "roots.pem"))
    options = ("--signtool-verify", "--signtool", str(program), *trust, "--report", "report.json", "--quiet")
    assert lab.run("verify", "*.exe", *options).code == 2
    files = json.loads((lab.folder / "report.json").read_text(encoding="utf-8"))["files"]
    refused = {file["path"] for file in files if file["verdict"]["result"] != "verified"}
    assert (len(files), refused) == (FILES, {names[7]})
    for file in files:
        checks = {check["name"]: check["ok"] for check in file["verdict"]["checks"]}
        assert checks["signtool"] == (file["path"] != names[7])
        assert checks["signtool-agreement"]
    calls = program.with_name("signtool.calls").read_text(encoding="utf-8").splitlines()
    # One of them asks for the changed file alone, to have its error.
    assert sum(line.count(".exe") for line in calls) == FILES + 1
    assert len(calls) <= FILES // 4
