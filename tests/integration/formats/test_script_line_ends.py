"""`--crlf`: scripts with bare line ends are converted before they are signed, on request alone, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.samples import Run, Store, assert_no_leftovers, kspsign_at, osslsigncode_verify


def sign(store: Store, folder: Path, *options: str) -> Run:
    key = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign_at("sign", "s.ps1", *key, *options, folder=folder)


@pytest.mark.parametrize("written", [b"$a = 1\n$b = 2\n", b"$a = 1\r$b = 2\r\n", b"\xff\xfe$\0a\0\n\0$\0b\0"])
def test_line_ends_are_converted_on_request(store: Store, tmp_path: Path, written: bytes) -> None:
    script = tmp_path / "s.ps1"
    script.write_bytes(written)
    refused = sign(store, tmp_path)
    assert (refused.code, script.read_bytes()) == (6, written)
    assert "--crlf" in refused.file["error"]["remedy"]
    planned = sign(store, tmp_path, "--crlf", "--dry-run")
    assert (planned.file["outcome"], script.read_bytes()) == ("planned", written)
    run = sign(store, tmp_path, "--crlf")
    assert (run.code, run.file["outcome"], run.file["line_ends"]) == (0, "signed", "crlf"), run.text
    assert "s.ps1: line ends converted to CRLF" in run.text
    wide = written.startswith(b"\xff\xfe")
    text = script.read_bytes().decode("utf-16" if wide else "ascii")
    assert text.replace("\r\n", "").isprintable(), "no other line end is left"
    assert text.startswith(written.decode("utf-16" if wide else "ascii").split("$")[0] + "$a")
    assert kspsign_at("verify", "s.ps1", "--trust-root", store.root, folder=tmp_path).code == 0
    assert osslsigncode_verify(script, store.root).accepted
    assert_no_leftovers(tmp_path)
    script.write_bytes(script.read_bytes().replace(b"a", b"c", 1))
    assert kspsign_at("verify", "s.ps1", "--trust-root", store.root, folder=tmp_path).code == 2


def test_what_needs_no_conversion_keeps_its_bytes(store: Store, tmp_path: Path) -> None:
    script = tmp_path / "s.ps1"
    script.write_bytes(b"$a = 1\r\n")
    run = sign(store, tmp_path, "--crlf")
    assert (run.code, run.file["line_ends"]) == (0, None)
    assert script.read_bytes().startswith(b"$a = 1\r\n\r\n# SIG # Begin")
    (tmp_path / "s.js").write_bytes(b"var a = 1;\n")
    key = ("--thumbprint", store.thumbprint, "--store", store.folder)
    run = kspsign_at("sign", "s.js", *key, "--crlf", folder=tmp_path)
    assert (run.code, run.file["line_ends"]) == (0, None)
    assert (tmp_path / "s.js").read_bytes().startswith(b"var a = 1;\n\r\n// SIG //"), "Script Host takes any line ends"


def test_a_signature_is_not_broken_for_it(store: Store, tmp_path: Path) -> None:
    """A script that others signed with LF keeps its text, unless its signature is replaced."""
    script = tmp_path / "s.ps1"
    script.write_bytes(b"$a = 1\r\n")
    assert sign(store, tmp_path).code == 0
    bare = script.read_bytes().replace(b"$a = 1\r\n", b"$a = 1\n", 1)
    script.write_bytes(bare)
    assert sign(store, tmp_path, "--crlf", "--append").code != 0
    assert script.read_bytes() == bare
    run = sign(store, tmp_path, "--crlf", "--replace")
    assert (run.code, run.file["line_ends"], b"$a = 1\r\n" in script.read_bytes()) == (0, "crlf", True)


def test_tools_that_sign_scripts_as_they_are(store: Store, tmp_path: Path) -> None:
    (tmp_path / "s.ps1").write_bytes(b"$a = 1\n")
    run = sign(store, tmp_path, "--crlf", "--engine", "signtool")
    assert (run.code, "--crlf needs --engine native" in run.text) == (3, True)


def test_a_jscript_signature_by_powershells_sip_is_refused(store: Store, tmp_path: Path) -> None:
    """As osslsigncode signs .js files: PowerShell's SIP is named and the block's place is not hashed; Windows refuses
    that too (0x80096010)."""
    (tmp_path / "s.ps1").write_bytes(b"var a = 1;\r\n")
    assert sign(store, tmp_path).code == 0
    text, _, block = (tmp_path / "s.ps1").read_bytes().decode("ascii").partition("\n# SIG # Begin")
    der = "".join(line.removeprefix("# ") for line in block.splitlines()[1:-1])
    lines = ["", "// SIG // Begin signature block"]
    lines += (f"// SIG // {der[at : at + 44]}" for at in range(0, len(der), 44))
    lines += ["// SIG // End signature block", ""]
    (tmp_path / "s.js").write_text(text.removesuffix("\r") + "\r\n".join(lines), encoding="ascii", newline="")
    run = kspsign_at("verify", "s.js", "--trust-root", store.root, folder=tmp_path)
    assert run.code == 2
    assert [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]] == ["digest", "sip"], run.text
