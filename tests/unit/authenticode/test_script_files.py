"""Scripts: what is hashed, how the signature block is read and written, what is refused before a signature is spent."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import pytest

from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.script.block import find_block, write_block
from kspsign.authenticode.script.file import MAX_SIZE, ScriptFile
from kspsign.authenticode.script.styles import STYLES
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Format
from support.formats.script_samples import POWERSHELL, SCRIPT_HOST, TEXTS, script

DER = bytes(range(100)) + b"end"
SHA256 = DigestAlgorithm.SHA256
TERMS = SigningTerms(SHA256, ())
PS1 = STYLES[".ps1"]
BLOCK = write_block(DER, PS1)


def opened(folder: Path, name: str, data: bytes) -> ScriptFile:
    path = folder / name
    path.write_bytes(data)
    return ScriptFile.open(Snapshot(path))


def digest(file: ScriptFile) -> bytes:
    return file.digest([SHA256]).values[SHA256]


def expected(text: str, position: int | None = None) -> bytes:
    suffix = b"" if position is None else struct.pack("<I", position)
    return hashlib.sha256(text.encode("utf-16-le") + suffix).digest()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le"])
@pytest.mark.parametrize("extension", TEXTS)
def test_what_is_hashed(tmp_path: Path, extension: str, encoding: str) -> None:
    """PowerShell's SIP hashes the byte order mark, Script Host's does not but where the block stands."""
    text = TEXTS[extension]
    file = opened(tmp_path, f"x.{extension}", script(extension, encoding))
    units = len(text.encode("utf-16-le")) // 2
    position = text.index("</job>") if extension == "wsf" else units
    assert digest(file) == (expected("\ufeff" + text) if extension in POWERSHELL else expected(text, position))
    with (tmp_path / f"signed.{extension}").open("wb") as out:
        file.embed(file.digest([]), (DER,), out)
    again = ScriptFile.open(Snapshot(tmp_path / f"signed.{extension}"))
    assert (again.signatures, digest(again)) == ((DER,), digest(file))
    assert [finding.check for finding in again.structure(again.digest([]), ()) if finding.hresult] == []
    with (tmp_path / f"twice.{extension}").open("wb") as out:
        again.embed(again.digest([]), (DER + b"2",), out)
    assert ScriptFile.open(Snapshot(tmp_path / f"twice.{extension}")).signatures == (DER + b"2",)


@pytest.mark.parametrize("text", ["Exit 0", "Exit 0\r\n\r\n", "Exit 0\n"], ids=["no final newline", "empty line", "LF"])
def test_line_ends_are_hashed_as_they_stand(tmp_path: Path, text: str) -> None:
    """Seen in scripts that SignTool signed."""
    assert digest(opened(tmp_path, "x.ps1", text.encode())) == expected(text)
    signed = opened(tmp_path, "y.ps1", (text + BLOCK).encode())
    assert (digest(signed), signed.signatures) == (expected(text), (DER,))


def test_a_block_of_signtool() -> None:
    """CRLF before it and at each end of line; 64 characters a line, Script Host's kinds 44."""
    assert BLOCK.startswith("\r\n# SIG # Begin signature block\r\n# AAEC")
    assert BLOCK.endswith("\r\n# SIG # End signature block\r\n")
    lines = write_block(DER, STYLES[".vbs"]).split("\r\n")
    assert lines[1] == "'' SIG '' Begin signature block"
    assert {len(line) for line in lines[2:-3]} == {len("'' SIG '' ") + 44}
    assert write_block(DER, STYLES[".wsf"]).startswith("\r\n<signature>\r\n** SIG ** AAEC")


def test_a_last_line_that_took_what_was_too_short_is_well_formed() -> None:
    style = STYLES[".js"]
    pieces = base64.b64encode(bytes(33 + 35)).decode()
    body = f"\r\n{style.begin}\r\n{style.before}{pieces[:44]}\r\n{style.before}{pieces[44:]}\r\n{style.end}\r\n"
    block = find_block("WScript.Quit();\r\n" + body, style)
    assert block is not None
    assert (block.der, block.faults) == (bytes(68), ())


LINES = BLOCK.split("\r\n")


@pytest.mark.parametrize(
    ("block", "check", "what"),
    [
        (BLOCK.replace("\r\n", "\n"), "signature-block", "git changed"),
        ("\r\n".join(LINES[:3]) + "\n" + "\r\n".join(LINES[3:]), "signature-block", "git changed"),
        (BLOCK.removeprefix("\r"), "signature-block", "git changed"),
        (BLOCK.replace("\r\n# SIG # End", "\r# SIG # End"), "signature-block", "git changed"),
        (BLOCK.removesuffix("\n"), "signature-block", "git changed"),
        (BLOCK.removesuffix("\r\n"), "signature-block", "end line does not end in CRLF"),
        (BLOCK[: BLOCK.index("# SIG # End")], "signature-block", "cut off"),
        (BLOCK.replace("# AAEC", "AAEC"), "signature-block", "line 1 holds something other"),
        (BLOCK.replace("# AAEC", "# AA C"), "signature-block", "line 1 holds something other"),
        (BLOCK.replace("# AAEC", "# AAEC\r\n# "), "signature-block", "differ in length"),
        (BLOCK.replace("# SIG # End", "# \r\n# SIG # End"), "signature-block", "holds something other"),
        (BLOCK.replace("block\r\n# A", "block\r\nStart-Process calc\r\n# A"), "signature-block", "line 1 holds"),
        (BLOCK.replace("# SIG # End", "# A===\r\n# SIG # End"), "signature-block", "holds something other"),
        (BLOCK.replace("ZA==", "ZB==").replace("bmQ=", "bmR="), "signature-block", "not the canonical"),
        (BLOCK.replace("Begin signature block", "Begin signature block #"), "signature-block", "begin line"),
        (BLOCK + BLOCK, "signature-block", "second block begins after"),
        (LINES[0] + "\r\n" + LINES[1] + BLOCK, "signature-block", "second block begins inside"),
        (BLOCK + "Start-Process calc", "trailing-text", "18 characters"),
        (BLOCK + "\r\n", "trailing-text", "2 characters"),
    ],
)
def test_a_block_that_is_not_as_it_must_be(tmp_path: Path, block: str, check: str, what: str) -> None:
    """Smuggled text, and blocks that Windows does not see: found by name, and never signed over."""
    file = opened(tmp_path, "x.ps1", ("Exit 0\r\n" + block).encode())
    findings = {finding.name: finding for finding in file.structure(file.digest([]), ())}
    assert findings[check].hresult is Hresult.TRUST_E_MALFORMED_SIGNATURE
    assert what in findings[check].detail
    with pytest.raises(ArtifactError, match="not intact"):
        file.admit(TERMS)


def test_a_block_alone_is_no_signed_script(tmp_path: Path) -> None:
    file = opened(tmp_path, "x.ps1", BLOCK.removeprefix("\r\n").encode())
    assert "not preceded by CRLF" in file.structure(file.digest([]), ())[0].detail


def test_what_looks_like_a_block_but_begins_no_line_is_text(tmp_path: Path) -> None:
    text = "if ($line -match '# SIG # Begin signature block') { break }\r\n"
    file = opened(tmp_path, "x.ps1", text.encode())
    file.admit(TERMS)
    assert (file.block, digest(file)) == (None, expected(text))
    element = "<job><signature>\r\nmine</signature></job>"
    assert opened(tmp_path, "x.wsf", element.encode()).block is None


@pytest.mark.parametrize(
    ("name", "data", "why", "remedy"),
    [
        ("x.ps1", "'ä'\r\n".encode(), "no byte order mark", "UTF-8 with BOM"),
        ("x.ps1", "'ä'\r\n".encode("cp1252"), "no byte order mark", "UTF-8 with BOM"),
        ("x.ps1", script("ps1", "utf-16-be"), "UTF-16 BE", "UTF-8 with BOM"),
        ("x.vbs", "'ä\r\n".encode("cp1252"), "no byte order mark", "UTF-16 LE"),
        ("x.wsf", "<job>ä</job>".encode(), "no byte order mark", "UTF-16 LE"),
        ("x.ps1", b"1\r\n2\n3\r\n", "line 2 does not end in CRLF", "eol=crlf"),
        ("x.ps1", b"1\r\n2\r3\r\n", "line 2 does not end in CRLF", "eol=crlf"),
        ("x.ps1xml", script("ps1xml", "utf-16-le").replace(b"\r\0", b""), "line 1 does not end", "eol=crlf"),
        ("x.wsf", b"<package/>\r\n", "no </job>", "<job>"),
    ],
)
def test_what_not_every_windows_would_accept_is_not_signed(
    tmp_path: Path, name: str, data: bytes, why: str, remedy: str
) -> None:
    with pytest.raises(ArtifactError, match=why) as caught:
        opened(tmp_path, name, data).admit(TERMS)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("name", "encoding"), [("x.js", "utf-16-be"), ("x.vbs", "ascii"), ("x.ps1", "ascii")])
def test_what_windows_accepts_is_admitted(tmp_path: Path, name: str, encoding: str) -> None:
    opened(tmp_path, name, script(name[2:], encoding)).admit(TERMS)
    if name[2:] in SCRIPT_HOST:
        opened(tmp_path, name, b"1\n2\n").admit(TERMS)


@pytest.mark.parametrize(
    ("name", "data", "read_as"),
    [
        ("x.ps1", b"# " + b"a" * 40 + b"\xe4\x80\x81", "windows-1252"),
        ("x.ps1", "# ä".encode() + b" " * 40, "utf-8"),
        ("x.ps1", b"# " + b"a" * 40 + "ä".encode(), "windows-1252"),
        ("x.vbs", "'ä€".encode(), "windows-1252"),
        ("x.wsf", "<job>ä</job>".encode(), "utf-8"),
    ],
)
def test_text_without_mark_is_hashed_as_a_western_windows_reads_it(
    tmp_path: Path, name: str, data: bytes, read_as: str
) -> None:
    """Vendors' scripts of this kind exist: their digest holds on such a machine; the verdict says why not on all."""
    text = data.decode("utf-8" if read_as == "utf-8" else "latin-1")
    text = text.translate(
        {0x80: "\N{EURO SIGN}", 0x82: "\N{SINGLE LOW-9 QUOTATION MARK}"} if read_as == "windows-1252" else {}
    )
    file = opened(tmp_path, name, data)
    position = {"x.vbs": len(text), "x.wsf": text.find("</job>")}.get(name)
    assert digest(file) == expected(text, position)
    (finding,) = (finding for finding in file.structure(file.digest([]), ()) if finding.hresult)
    assert (finding.check, finding.hresult) == ("encoding", Hresult.TRUST_E_BAD_DIGEST)
    with (tmp_path / f"signed{name}").open("wb") as out:
        file.embed(file.digest([]), (DER,), out)
    assert (tmp_path / f"signed{name}").read_bytes().replace(write_block(DER, file.style).encode(), b"") == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"a\r\n", "fewer than 4"),
        (b"Exit\0 0\r\n", "NUL at character 4"),
        ("Exit 0\r\n".encode("utf-16-le"), "NUL at character 1"),
        (b"\xff\xfeE\0x", "not valid UTF-16 LE"),
        (b"\xff\xfe\x00\xd8\x00\x00", "not valid UTF-16 LE"),
        (b"\xef\xbb\xbfExit \xff", "not valid UTF-8"),
    ],
)
def test_a_name_alone_makes_no_script(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(ArtifactError, match=why) as caught:
        opened(tmp_path, "x.ps1", data)
    assert caught.value.remedy


def test_a_huge_file_is_not_read_whole_to_be_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.ps1").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(ArtifactError, match=f"more than {MAX_SIZE >> 20} MiB"):
        ScriptFile.open(Snapshot(tmp_path / "x.ps1"))


def test_the_extension_tells_which_script_and_content_comes_first(tmp_path: Path) -> None:
    kinds = {name: detect_format(Glimpse(Path(f"A.{name}".upper()), b"text", 4)) for name in (*TEXTS, "txt", "cmd")}
    assert {kinds[name] for name in ("ps1", "psm1", "psd1", "mof")} == {Format.POWERSHELL}
    assert {kinds[name] for name in ("ps1xml", "psc1", "cdxml")} == {Format.POWERSHELL_XML}
    assert [kinds[name] for name in (*SCRIPT_HOST, "txt", "cmd")] == [
        *(Format.VBSCRIPT, Format.JSCRIPT, Format.WSF, None, None)
    ]
    assert detect_format(Glimpse(Path("x.ps1"), b"MZ", 2)) is Format.PE
    (tmp_path / "x.txt").write_bytes(b"text")
    with pytest.raises(ArtifactError, match=r"\.txt"):
        open_signable(tmp_path / "x.txt", Format.POWERSHELL)


def test_a_marker_in_a_here_string_is_not_cut_off_with_the_rest_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "build.ps1"
    path.write_bytes(b'$text = @"\r\n# SIG # Begin signature block\r\n"@\r\nWrite-Output $text\r\n')
    with pytest.raises(ArtifactError) as refused:
        ScriptFile.open(Snapshot(path)).admit(TERMS)
    assert "line 2" in refused.value.remedy
    assert "here-string" in refused.value.remedy
    assert "remove all" not in refused.value.remedy
