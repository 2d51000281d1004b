"""What an MSI or a self-extractor holds is named, since it is not signed with it."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest

from kspsign.authenticode.containers.payload import Payload, find_payloads
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.model.values import Format
from support.formats.cab_samples import build_cab
from support.formats.msi_samples import msitools_package
from support.formats.peimages import build_pe
from support.formats.zips import Part, build_zip

MARK = hashlib.sha256(b".net core bundle").digest()


def _found(path: Path, content: bytes, format_: Format) -> tuple[Payload, ...]:
    path.write_bytes(content)
    return find_payloads(Snapshot(path), format_)


@pytest.mark.parametrize(
    ("overlay", "kind", "files"),
    [
        (
            build_zip([Part("lib/a.dll", b"MZ"), Part("b.exe")], comment=b"note"),
            "a ZIP archive",
            ("lib/a.dll", "b.exe"),
        ),
        (build_zip([Part("a.dll")])[:-9], "a ZIP archive", ()),
        (b";!@Install@!UTF-8!\n;!@InstallEnd@!" + b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive", ()),
        (build_cab(files={"a.dll": b"MZ"}), "a cabinet", ("0-a.dll",)),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive", ()),
        (struct.pack("<II", 0, 0xDEADBEEF) + b"NullsoftInst", "an NSIS installation", ()),
        (b"zlb\x1a" + bytes(90), "an Inno Setup installation", ()),
    ],
)
def test_the_payload_after_a_program_is_named(
    overlay: bytes, kind: str, files: tuple[str, ...], tmp_path: Path
) -> None:
    found = _found(tmp_path / "setup.exe", build_pe(overlay=overlay), Format.PE)
    assert found == (Payload("after its sections", kind, files),)


@pytest.mark.parametrize("overlay", [b"", bytes(90), b"PK\3\4 in the middle of some text", b"MSCF and so on"])
def test_a_program_without_a_payload_has_none(overlay: bytes, tmp_path: Path) -> None:
    code = build_zip([Part("a.dll")])  # not a resource, and not after the sections
    assert _found(tmp_path / "some.exe", build_pe(sections=(code,), overlay=overlay), Format.PE) == ()


def test_a_resource_and_a_single_file_bundle_are_named(tmp_path: Path) -> None:
    cabinet = build_cab(files={"a.dll": b"MZ"})
    image = build_pe(sections=(b"\xc3" * 700, bytes(300) + cabinet)).replace(b".s1\0\0", b".rsrc")
    assert _found(tmp_path / "express.exe", image, Format.PE) == (
        Payload("in its resources", "a cabinet", ("0-a.dll",)),
    )
    host = build_pe(sections=(bytes(500) + struct.pack("<q", 0x4000) + MARK,), overlay=bytes(99))
    assert _found(tmp_path / "host.exe", host, Format.PE) == (
        Payload("after its sections", "a .NET single-file bundle"),
    )
    empty = build_pe(sections=(bytes(508) + MARK,), overlay=bytes(99))
    assert _found(tmp_path / "apphost.exe", empty, Format.PE) == ()


def test_the_cabinets_of_a_package_are_named(tmp_path: Path) -> None:
    path, cabinet = tmp_path / "some.msi", tmp_path / "product.cab"
    path.write_bytes(msitools_package())
    cabinet.write_bytes(build_cab(files={"a.dll": b"MZ" * 9000, "b.exe": b"MZ"}))
    assert find_payloads(Snapshot(path), Format.MSI) == ()
    subprocess.run(["msibuild", path, "-a", "product.cab", cabinet], check=True, capture_output=True)
    assert find_payloads(Snapshot(path), Format.MSI) == (Payload("product.cab", "a cabinet", ("0-a.dll", "0-b.exe")),)


def test_a_cabinet_holds_its_files(tmp_path: Path) -> None:
    cabinet = build_cab(files={"lib\\a.dll": b"MZ"}, reserve=bytes(20))
    assert _found(tmp_path / "some.cab", cabinet, Format.CAB) == (Payload("", "a cabinet", ("0-lib/a.dll",)),)
    assert _found(tmp_path / "some.ps1", b"1", Format.POWERSHELL) == ()
