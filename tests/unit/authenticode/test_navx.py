"""Business Central packages: their layout, their place for a signature, and what signs them."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError, PrerequisiteError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.programs.navsip import check_navsip, missing_runtimes
from kspsign.settings.model import Settings

CONTENT = b"PK\3\4" + bytes(3000)


def package(content: bytes = CONTENT, *, length: int | None = None) -> bytes:
    """An unsigned NAVX package."""
    size = len(content) if length is None else length
    return struct.pack("<4sII16sq4s", b"NAVX", 40, 2, bytes(16), size, b"NAVX") + content


def test_it_is_told_by_content(tmp_path: Path) -> None:
    assert detect_format(Glimpse(Path(), package(), 9999)) is Format.NAVX
    assert detect_format(Glimpse(Path(), b"NAVX" + bytes(60), 64)) is None
    file = tmp_path / "some.app"
    file.write_bytes(package())
    opened = open_signable(file, Format.NAVX)
    digest = opened.digest([DigestAlgorithm.SHA256])
    assert opened.signatures == ()
    assert digest.values[DigestAlgorithm.SHA256] == hashlib.sha256(package()).digest()
    assert digest.sha256 == hashlib.sha256(package()).hexdigest()


def test_a_signature_follows_the_content_and_is_not_hashed(tmp_path: Path) -> None:
    file, twice = tmp_path / "some.app", tmp_path / "twice.app"
    file.write_bytes(package() + b"NXSB" + b"\x30\x03abc" + struct.pack("<I", 40 + len(CONTENT)) + b"NXSB")
    opened = open_signable(file, Format.NAVX)
    assert opened.signatures == (b"\x30\x03abc",)
    digest = opened.digest([DigestAlgorithm.SHA256])
    assert digest.values[DigestAlgorithm.SHA256] == hashlib.sha256(package()).digest()
    with twice.open("wb") as out:
        opened.embed(digest, (b"\x30\x04abcd",), out)
    again = open_signable(twice, Format.NAVX)
    assert again.signatures == (b"\x30\x04abcd",)
    assert again.structure(digest, ())[0].hresult is None


@pytest.mark.parametrize(
    "content",
    [
        package()[:30],
        package(length=len(CONTENT) + 1),
        package(length=-41),
        package() + b"appended",
        package() + b"NXSB" + b"\x30\x00" + struct.pack("<I", 41) + b"NXSB",
        package()[:4] + b"\x29" + package()[5:],
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some.app"
    file.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        open_signable(file, Format.NAVX)
    assert caught.value.hresult is Hresult.ERROR_BAD_FORMAT


def test_a_fob_is_refused_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "objects.fob"
    file.write_bytes(b"Codeunit")
    with pytest.raises(ArtifactError, match="C/AL object export"):
        open_signable(file, detect_format(Glimpse(file, b"Codeunit", 8)))


def dll(path: Path, *names: bytes, machine: int = 0x8664) -> Path:
    """A DLL's beginning, with the names of what it imports."""
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I4sH", 64, b"PE\0\0", machine)
    path.write_bytes(head + b"\0".join((bytes(20), *names, b"")))
    return path


def test_a_navsip_whose_runtime_is_missing(tmp_path: Path) -> None:
    file = dll(tmp_path / "NavSip.dll", b"VCRUNTIME140.dll", b"VCRUNTIME140_1.dll", b"KERNEL32.dll")
    (tmp_path / "VCRUNTIME140.dll").touch()
    assert missing_runtimes(file, (tmp_path,)) == ("VCRUNTIME140_1.dll",)
    with pytest.raises(PrerequisiteError, match=r"VCRUNTIME140_1\.dll"):
        check_navsip(Settings(navsip=file))


def test_navsip_missing_wrong_and_right(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        check_navsip(Settings())
    assert (caught.value.code, "--navsip" in caught.value.remedy) == ("NAVSIP_MISSING", True)
    with pytest.raises(PrerequisiteError, match="does not exist"):
        check_navsip(Settings(navsip=tmp_path / "NavSip.dll"))
    with pytest.raises(PrerequisiteError, match="not an x64"):
        check_navsip(Settings(navsip=dll(tmp_path / "NavSip.dll", machine=0x014C)))
    assert "will be registered" in check_navsip(Settings(navsip=dll(tmp_path / "NavSip.dll")))
