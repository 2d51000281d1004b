"""Unsigned files that an archive hides from its judge but not from its reader: each is refused, or named as not opened.

The twin that hides nothing is accepted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.formats.nested import image, nuget
from support.formats.zips import Part, build_zip
from support.samples import Run, kspsign
from support.signing import Publisher

SCRIPT = b"Write-Host hidden\r\n"
PACKED = build_zip([Part("hidden.exe", image(66), deflate=True)])
HIDDEN: Mapping[str, list[Part]] = {
    "an archive after other bytes": [Part("in.zip", b"xx" + PACKED)],
    "a package after other bytes": [Part("in.nupkg", b"x" + nuget({"hidden.dll": image(66)}))],
    "an archive that is no package of its name": [Part("in.nupkg", PACKED)],
    "an archive that is no extension of its name": [Part("in.vsix", PACKED)],
    "an archive that is no app of its name": [Part("in.msix", PACKED)],
    "another kind of archive": [Part("in.zip", b"7z\xbc\xaf\x27\x1c" + PACKED)],
    "a script whose name ends in a dot": [Part("run.ps1.", SCRIPT)],
    "a script by its stream": [Part("run.ps1::$DATA", SCRIPT)],
    "a program after another byte": [Part("tool.exe", b"x" + image(66))],
    "an empty program": [Part("tool.dll", b"")],
    "a script for the Script Host": [Part("run.vbs", b"WScript.Echo 1\r\n")],
}
"""Parts that follow a signed program."""


def _deflated(name: bytes, content: bytes, packed: bytes) -> bytes:
    """An archive with one entry, whose packed data is given."""
    numbers = (zlib.crc32(content), len(packed), len(content), len(name), 0)
    common = (20, 0, 8, 0, 0x21)
    data = struct.pack("<4s5H3I2H", b"PK\3\4", *common, *numbers) + name + packed
    record = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, *common, *numbers, 0, 0, 0, 0, 0) + name
    return data + record + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(record), len(data), 0)


def _followed(first: bytes, second: bytes) -> bytes:
    """The entries of both archives in one."""
    data, records = b"", b""
    for archive in (first, second):
        directory, end = archive.index(b"PK\1\2"), archive.rindex(b"PK\5\6")
        record = bytearray(archive[directory:end])
        struct.pack_into("<I", record, 42, len(data))
        data += archive[:directory]
        records += record
    return data + records + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(records), len(data), 0)


def _pack(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def _verify(publisher: Publisher, folder: Path, *options: object) -> Run:
    chosen = ("--trust-root", publisher.roots, "--folder", folder, *options)
    return kspsign("verify", "**", *chosen, folder=folder.parent)


@pytest.fixture(scope="module")
def program(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Part:
    """A signed program to hide behind."""
    path = tmp_path_factory.mktemp("signed") / "a.exe"
    path.write_bytes(image(1))
    assert publisher.sign(path).code == 0
    return Part("a.exe", path.read_bytes(), deflate=True)


def _write(folder: Path, archives: Mapping[str, bytes]) -> None:
    for name, content in archives.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "some.zip").write_bytes(content)


def test_what_is_hidden_in_an_archive_is_refused(program: Part, publisher: Publisher, tmp_path: Path) -> None:
    signed, text = build_zip([program]), b"text " * 50
    archives = {what: build_zip([program, *parts]) for what, parts in HIDDEN.items()} | {
        "bytes after packed data": _followed(signed, _deflated(b"a.txt", text, _pack(text) + image(66))),
        "bytes in a folder": _followed(signed, _deflated(b"lib/", b"", _pack(b"") + image(66))),
        "another checksum": _followed(signed, build_zip([Part("a.txt", text)]).replace(b"text text", b"text Text", 1)),
    }
    _write(tmp_path / "drop", archives)
    run = _verify(publisher, tmp_path / "drop", "--inside")
    assert run.code == 2
    outer = {path.split("/")[0]: row for path, row in run.files.items() if row["container"] is None}
    assert {what for what, row in outer.items() if row["verdict"]["result"] == "verified"} == set()
    assert outer.keys() == archives.keys()
    for what, row in outer.items():
        assert row["error"]["remedy"], what
    for what, parts in HIDDEN.items():
        assert parts[0].name.split(":")[0] in outer[what]["error"]["message"], what


def test_what_hides_nothing_is_accepted(program: Part, publisher: Publisher, tmp_path: Path) -> None:
    text = b"text " * 50
    archives = {
        "plain": build_zip([program, Part("empty.zip", b"PK\5\6" + bytes(18)), Part("a.txt", text)]),
        "deflated": _followed(build_zip([program]), _deflated(b"a.txt", text, _pack(text))),
        "folder": _followed(build_zip([program]), _deflated(b"lib/", b"", _pack(b""))),
        "commented": build_zip([program], comment=b"built by PK\5"),
    }
    _write(tmp_path / "drop", archives)
    run = _verify(publisher, tmp_path / "drop", "--inside")
    assert run.code == 0, run.text
    assert len(run.files) == 2 * len(archives)


def test_an_archive_of_another_name_is_named_as_not_opened(program: Part, publisher: Publisher, tmp_path: Path) -> None:
    deeper = build_zip([Part("data.bin", PACKED)])
    _write(tmp_path / "drop", {"one": build_zip([program, Part("in.bin", PACKED), Part("deep.zip", deeper)])})
    run = _verify(publisher, tmp_path / "drop", "--inside")
    assert run.code == 0, run.text
    said = run.files["one/some.zip"]["inside"]["not_opened"]
    assert said == "2 archives: in.bin, deep.zip (1 archive: data.bin)"


def test_a_cause_far_inside_is_said_once_by_its_path(program: Part, publisher: Publisher, tmp_path: Path) -> None:
    middle = build_zip([Part("in.zip", build_zip([Part("b.exe", image(66))]))])
    _write(tmp_path / "drop", {"one": build_zip([program, Part("middle.zip", middle)])})
    message = _verify(publisher, tmp_path / "drop", "--inside").files["one/some.zip"]["error"]["message"]
    assert message.startswith("inside it, middle.zip/in.zip/b.exe: The file carries no signature")


def test_a_policy_that_requires_the_inside_judges_scripts_of_the_script_host_too(
    program: Part, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "policy.yml").write_text("inside: required\n")
    _write(tmp_path / "drop", {"one": build_zip([program, Part("run.js", b"var a = 1;\r\n")])})
    run = _verify(publisher, tmp_path / "drop", "--policy", tmp_path / "policy.yml")
    assert run.code == 2
    assert run.files["one/some.zip/run.js"]["error"]["code"] == "TRUST_E_NOSIGNATURE"
