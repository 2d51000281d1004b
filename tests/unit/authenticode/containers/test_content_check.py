"""What is known of a rebuild before anything is signed: damaged entries, and files that state digests of others."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.rebuild import check_rebuild
from kspsign.model.errors import ArtifactError
from support.formats.appx_samples import Package
from support.formats.zips import Part

DLL = b"MZ" + bytes(range(256)) * 9


def _hex(name: str) -> bytes:
    return hashlib.new(name, DLL).hexdigest().encode()


def _base64(name: str) -> bytes:
    return base64.b64encode(hashlib.new(name, DLL).digest())


LISTS: dict[str, Callable[[], bytes]] = {
    "_framework/blazor.boot.json": lambda: b'{"assembly": {"a.dll": "sha256-' + _base64("sha256") + b'"}}',
    "SHA256SUMS": lambda: _hex("sha256").upper() + b" *bin/a.dll\n",
    "a.dll.sha512": lambda: _base64("sha512"),
    "assets.js": lambda: b'{"integrity":"sha384-' + base64.urlsafe_b64encode(hashlib.sha384(DLL).digest()) + b'"}',
    "App.manifest": lambda: b"<dsig:DigestValue>" + _base64("sha1") + b"</dsig:DigestValue>",
    "checksums.md5": lambda: _hex("md5"),
    "driver.CAT": lambda: b"0\x82\x01\x02" + bytes(2 << 20) + hashlib.sha256(DLL).digest() + bytes(9),
}


def _zip(path: Path, more: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ({"bin/a.dll": DLL, "readme.txt": b"a" * 99} | more).items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", LISTS)
def test_a_file_that_states_the_digest_of_another_is_named(name: str, tmp_path: Path) -> None:
    container = open_container(_zip(tmp_path / "some.zip", {name: LISTS[name]()}), Bounds())
    with pytest.raises(ArtifactError) as refused:
        check_rebuild(container, ["bin/a.dll"])
    assert f"{name} states the digest of bin/a.dll" in refused.value.message
    check_rebuild(container, ["readme.txt"])


def test_digests_of_other_files_do_not_matter(tmp_path: Path) -> None:
    path = _zip(tmp_path / "some.zip", {"sums": hashlib.sha256(b"other").hexdigest().encode()})
    check_rebuild(open_container(path, Bounds()), ["bin/a.dll"])


def test_an_entry_that_does_not_unpack_is_named(tmp_path: Path) -> None:
    path = _zip(tmp_path / "some.zip", {})
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("readme.txt").header_offset
    data = bytearray(path.read_bytes())
    data[place + 30 + len("readme.txt") + 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"readme\.txt"):
        check_rebuild(open_container(path, Bounds()), ["bin/a.dll"])


def test_a_package_whose_file_is_not_that_of_its_block_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(Package(extra=[Part("empty.txt", b"", deflate=True, descriptor=True)]).build())
    check_rebuild(open_container(path, Bounds()), ["App.exe"])
    path.write_bytes(Package(files={"a.txt": b"12", "App.exe": DLL}, extra=[Part("a.txt", b"21")]).build())
    with pytest.raises(ArtifactError, match=r"a\.txt"):
        check_rebuild(open_container(path, Bounds()), ["App.exe"])


def test_the_block_map_of_a_package_states_digests_that_are_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(Package(files={"small.dll": DLL}).build())
    check_rebuild(open_container(path, Bounds()), ["small.dll"])
