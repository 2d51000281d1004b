"""Files that can't be signed: each is told by its content and refused with the reason and a way out."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.refusals import EDGE, UNSUPPORTED_TYPES, Look, refuse
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult


def zipped(*names: str, padding: int = 0) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("padding.bin", bytes(padding))
        for name in names:
            archive.writestr(name, "content")
    return packed.getvalue()


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return packed.getvalue()


ASM = '<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0"/>'
KINDS: dict[str, tuple[bytes, str, str]] = {
    "empty.exe": (b"", "the file is empty", "build step"),
    "one.exe": (b"M", "less than four bytes", "build step"),
    "zeros.dll": (bytes(9000), "nothing but zeros", "again"),
    "pointer.dll": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "Git LFS pointer", "lfs: true"),
    "setup.exe": (b"\r\n<!DOCTYPE html><title>403</title>", "an HTML page", "download"),
    "objects.fob": (b"Codeunit 50000 Hello 23-03-11 12:00:00", "C/AL object export", "!**/*.fob"),
    "objects.txt": (b"OBJECT Table 18 Customer\n{\n", "C/AL object export", "installer"),
    "tool.nupkg": (b"MZ" + bytes(99), "its name is that of a package", "extension"),
    "old.exe": (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"NE" + bytes(99), "16-bit Windows", "installer"),
    "store.eappx": (b"EXPH" + bytes(99), "an encrypted package", "before it is encrypted"),
    "store.emsixbundle": (b"EXBH" + bytes(99), "an encrypted package", "SignTool"),
    "large.apk": (zipped("AndroidManifest.xml", padding=3 * EDGE), "Android", "apksigner"),
    "app.apk": (zipped("AndroidManifest.xml", "META-INF/MANIFEST.MF"), "Android", "apksigner"),
    "app.aab": (zipped("BundleConfig.pb", "base/manifest/AndroidManifest.xml"), "app bundle", "jarsigner"),
    "app.ipa": (zipped("Payload/Shop.app/Info.plist"), "iOS app", "rcodesign"),
    "macros.xlsm": (zipped("xl/workbook.xml", "xl/vbaProject.bin"), "its macros their own", "Office SIPs"),
    "letter.docx": (zipped("[Content_Types].xml", "word/document.xml"), "Office document", "SIPs"),
    "app.jar": (zipped("META-INF/MANIFEST.MF"), "Java archive", "jarsigner"),
    "code.vsix": (zipped("extension.vsixmanifest", "extension/package.json"), "Visual Studio Code", "--inside"),
    "drop.zip": (zipped("setup.exe"), "a ZIP archive", "before it is packed"),
    "app.dll.manifest": (ASM.encode(), "a side-by-side manifest", "contains it"),
    "app.exe.manifest": (ASM.encode("utf-16"), "a side-by-side manifest", "mage"),
    "tool": (b"\x7fELF\2\1\1" + bytes(99), "Linux (ELF)", "cosign"),
    "thin.dylib": (b"\xcf\xfa\xed\xfe" + bytes(99), "Mach-O", "codesign"),
    "fat.dylib": (b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(99), "Mach-O", "codesign"),
    "Main.class": (b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(99), "Java class", "jarsigner"),
    "manual.pdf": (b"%PDF-1.7\n", "a PDF document", "PDF signer"),
    "update.msu": (b"MSWIM\0\0\0" + bytes(99), "a Windows image", ".cat"),
    "data1.cab": (b"ISc(" + bytes(99), "InstallShield", "setup"),
    "old.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\1" * 99, "not an MSI or MSP", "SIPs"),
    "a.gz": (b"\x1f\x8b\x08" + bytes(99), "an archive", "before it is packed"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "an archive", "before it is packed"),
    "a.tar": (tar(), "an archive", "before it is packed"),
    "a.rpm": (b"\xed\xab\xee\xdb" + bytes(99), "Linux package (rpm)", "rpmsign"),
    "a.deb": (b"!<arch>\ndebian-binary   ", "Linux package (deb)", "repository"),
    "a.snap": (b"hsqs" + bytes(99), "SquashFS", "store"),
    "a.pkg": (b"xar!\0\x1c" + bytes(99), "installer package of macOS", "productsign"),
    "a.crx": (b"Cr24\3\0\0\0" + bytes(99), "browser extension", "--pack-extension"),
    "driver.inf": (b"; comment\r\n[Version]\r\n", "a driver's INF", "kspsign catalog"),
    "wide.inf": ("\ufeff[version]\r\n".encode("utf-16-le"), "a driver's INF", "--catalog"),
    "a.lib": (b"!<arch>\n/               ", "library of object files", "linked"),
    "a.iso": (bytes(0x8000) + b"\1CD001\1" + bytes(EDGE), "a disk image", "before the image is made"),
    "a.dmg": (b"\1" * 3000 + b"koly" + bytes(508), "a disk image", "before the image is made"),
    "code.vbe": (b"#@~^ZQAAAA==-mD", "an encoded script", "as text"),
    "build.cmd": (b"@echo off\r\n", "a batch file", "PowerShell"),
    "farm.rdp": (b"full address:s:farm\r\n", "remote desktop", "rdpsign"),
    "notes.txt": (b"just text\n", "of no type that can be signed", "!pattern"),
    "AppxSignature.p7x": (b"PKCX\x30\x82" + bytes(99), "of no type that can be signed", "!pattern"),
    "noise.bin": (b"\x91\x92\x93\x94" * 99, "of no type that can be signed", "!pattern"),
}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_refused_with_reason_and_remedy(tmp_path: Path, name: str) -> None:
    content, cause, remedy = KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    kind = detect_format(Glimpse(path, content[:4096], len(content)))
    with pytest.raises(ArtifactError) as caught:
        open_signable(path, kind)
    error = caught.value
    assert (error.hresult, cause in error.message) == (Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, True), error.message
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("macros.xlsm", ("SignTool", "Office SIPs")),
        ("old.doc", ("SignTool", "Office SIPs")),
        ("app.jar", ("jarsigner",)),
        ("a.rpm", ("rpmsign",)),
        ("a.deb", ("debsigs", "gpg")),
        ("thin.dylib", ("codesign", "rcodesign")),
        ("a.pkg", ("productsign", "rcodesign")),
        ("a.dmg", ("codesign", "rcodesign")),
        ("app.ipa", ("codesign", "rcodesign")),
        ("app.apk", ("apksigner",)),
        ("app.aab", ("jarsigner",)),
        ("manual.pdf", ("pyHanko", "Acrobat")),
    ],
)
def test_the_tool_that_signs_it_is_named(tmp_path: Path, name: str, tools: tuple[str, ...]) -> None:
    (tmp_path / name).write_bytes(KINDS[name][0])
    remedy = refuse(Snapshot(tmp_path / name)).remedy
    assert all(tool in remedy for tool in tools), remedy


def test_every_row_is_proved_here() -> None:
    told = set()
    for name, (content, _, _) in KINDS.items():
        look = Look(content[:EDGE], content[-EDGE:], len(content), Path(name).suffix)
        told.add(next(index for index, kind in enumerate(UNSUPPORTED_TYPES) if kind.matches(look)))
    assert told == set(range(len(UNSUPPORTED_TYPES)))


@pytest.mark.parametrize("magic", [b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbe\0\0", b"PK\3\4", b"MZab", b"\x1f\x8b\x08\0"])
def test_a_few_bytes_are_enough_to_refuse(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "short"
    path.write_bytes(magic)
    assert refuse(Snapshot(path)).hresult is Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN
