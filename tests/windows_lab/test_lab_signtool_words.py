"""`kspsign signtool` beside Microsoft's SignTool on one Windows: the same exit codes, and the same lines but for
kspsign's own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest

from support.signtool.transcripts import comparable
from windows_lab.machine import LAB_VARIABLES, Ended, Windows

ALIAS = "Contoso-Release"


@pytest.fixture
def signed(windows: Windows, timestamp_url: str) -> tuple[Windows, str]:
    """A Windows with the certificate in its store, and files signed by each program; the timestamp server's URL."""
    config = windows.root / "kspsign.yml"
    config.write_text(f"trust_root: ['{windows.path(windows.trust_root)}']\ntool_env: [{', '.join(LAB_VARIABLES)}]\n")
    windows.environment["KSPSIGN_CONFIG"] = windows.path(config)
    thumbprint = windows.certsync(ALIAS).thumbprint
    chosen = ("sign", "/v", "/fd", "SHA256", "/sha1", thumbprint, "/tr", timestamp_url, "/td", "SHA256", "app.exe")
    shutil.move(windows.program("app.exe"), windows.folder / "plain.exe")
    shutil.copy(windows.folder / "plain.exe", windows.folder / "app.exe")
    _same(windows, chosen, theirs_first=True)
    return windows, thumbprint


def test_the_same_lines(signed: tuple[Windows, str], timestamp_url: str) -> None:
    """R12, R14, R16 and the usual errors, by one program after the other."""
    windows, thumbprint = signed
    shutil.copy(windows.folder / "app.exe", windows.folder / "tampered.exe")
    with (windows.folder / "tampered.exe").open("r+b") as file:
        file.seek(2000)
        file.write(b"X")
    shutil.copy(windows.folder / "plain.exe", windows.folder / "nostamp.exe")
    certificate = ("/sha1", thumbprint)
    _same(windows, ("sign", "/fd", "SHA256", *certificate, "nostamp.exe"))
    for arguments in (
        ("verify", "/v", "/pa", "app.exe"),
        ("verify", "/v", "/pa", "/tw", "nostamp.exe"),
        ("verify", "/pa", "app.exe", "plain.exe", "tampered.exe"),
        ("verify", "/v", "/pa", "missing.exe"),
        ("sign", *certificate, "app.exe"),
        ("sign", "/fd", "SHA256", *certificate, "/tr", timestamp_url, "app.exe"),
        ("sign", "/fd", "SHA256", "/sha1", "12ab", "app.exe"),
        ("sign", "/fd", "SHA256", *certificate, "missing.exe"),
        ("sign", "/debug", "/v", "/fd", "SHA256", "/sha1", "0" * 40, "app.exe"),
        ("sign", "/fd", "SHA256", *certificate),
        ("sign", "/fd", "SHA256", "/foo", "app.exe"),
        ("timestamp", "/tr", timestamp_url, "/td", "SHA256", "nostamp.exe"),
        ("verify", "/pa", "/tw", "nostamp.exe"),
    ):
        _same(windows, arguments)


def _same(windows: Windows, arguments: Sequence[str], *, theirs_first: bool = False) -> None:
    """Both programs do the call, each with a copy of the files as they are now; ours stay."""
    before = {path.name: path.read_bytes() for path in windows.folder.glob("*.exe")}
    theirs = windows.signtool(*arguments)
    if not theirs_first:
        for name, content in before.items():
            (windows.folder / name).write_bytes(content)
    ours = windows.kspsign("signtool", *arguments)
    assert (ours.exit_code, *_lines(ours)) == (theirs.exit_code, *_lines(theirs)), arguments


def _lines(ended: Ended) -> tuple[list[str], list[str]]:
    """Both streams, without times of stamps, hashes and kspsign's own lines."""
    out, err = (
        comparable([line.rstrip("\r") for line in text.split("\n")], {}) for text in (ended.stdout, ended.stderr)
    )
    return out, err
