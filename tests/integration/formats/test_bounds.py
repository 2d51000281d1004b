"""Files that were built to take memory or time: verifying and inspecting each of them takes less than 200 MB and a
tenth of its size, and 10 s of one processor. What is at a bound is still read, and what is beyond it is refused by
its count, not by an error of memory."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from support.formats.appx_samples import Package
from support.formats.compound_bombs import large_directory, large_fat, large_mini_fat
from support.formats.zips import Part, build_zip, many_entries
from support.measured import measured

_BLOCK = struct.Struct("<IHH")


def _cabinet(folders: int, blocks: int) -> bytes:
    """A cabinet of packed folders whose blocks have no bytes at all."""
    files = 36 + 8 * folders
    start = files + 18 * folders
    size = start + _BLOCK.size * blocks * folders
    counts = (folders, folders, 0, 1, 0)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, size, 0, files, 0, 3, 1, *counts)
    places = (struct.pack("<IHH", start + number * blocks * _BLOCK.size, blocks, 1) for number in range(folders))
    names = (struct.pack("<IIHHHH", 0x8000 * blocks, 0, number, 0, 0, 0x20) + b"f\0" for number in range(folders))
    return head + b"".join((*places, *names)) + _BLOCK.pack(0, 0, 0x8000) * (blocks * folders)


def _bundle(packages: int, files: int) -> bytes:
    """A bundle of packages that have so many empty files each, all of one application."""
    names = [f"p{number:03}.msix" for number in range(packages)]
    inner = {
        name: Package(
            files={f"f{number:05}.txt": b"" for number in range(files)}, zip64=False, identity=f' ResourceId="{name}"'
        ).build()
        for name in names
    }
    told = {f'FileName="{name}"': f'FileName="{name}" ResourceId="{name}"' for name in names}
    return Package(zip64=False, bundle_manifest=told).bundle(inner)


def _with_manifest(xml: bytes) -> bytes:
    return build_zip([Part("AppxManifest.xml", xml), Part("AppxBlockMap.xml")])


def _attributes(count: int) -> bytes:
    return b"<Package " + b" ".join(b'a%d=">"' % number for number in range(count)) + b"/>"


BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "as long names as are read": ("a.nupkg", lambda: many_entries(99_999, 119), "TRUST_E_NOSIGNATURE"),
    "more files": ("a.nupkg", lambda: many_entries(100_000, 12), "more than are read here"),
    "longer names": ("a.nupkg", lambda: many_entries(99_999, 260), "more than are read here"),
    "packages with many files": ("a.msixbundle", lambda: _bundle(70, 1500), "more than are read here"),
    "elements in each other": ("a.msix", lambda: _with_manifest(b"<a>" * 5_000_000), "are in each other"),
    "an element with many attributes": ("a.msix", lambda: _with_manifest(_attributes(1_200_000)), "more than 1 MiB"),
    "many names": (
        "a.msix",
        lambda: _with_manifest(b"<a>" + b"".join(b"<a%d/>" % number for number in range(1_500_000))),
        "different names",
    ),
    "many prefixes": (
        "a.msix",
        lambda: _with_manifest(b"<a>" + b"".join(b'<a xmlns:p%d="u"/>' % number for number in range(700_000))),
        "different names",
    ),
    "a long text": ("a.msix", lambda: _with_manifest(b"<a>" + b"text" * 3_500_000), "more than 1 MiB"),
    "blocks without bytes": ("a.cab", lambda: _cabinet(100, 65_000), "TRUST_E_NOSIGNATURE"),
    "as many blocks as are read": ("a.cab", lambda: _cabinet(16, 65_535), "TRUST_E_NOSIGNATURE"),
    "a directory as large as is read": ("a.msi", lambda: large_directory(1 << 16), "TRUST_E_NOSIGNATURE"),
    "a larger directory": ("a.msi", lambda: large_directory((1 << 16) + 4), "more than it needs"),
}


def _check(path: Path, words: str) -> None:
    for command in ("verify", "inspect"):
        run = measured(path.with_suffix(".log"), command, path)
        assert run.code == 2, run.output
        if command == "verify":
            assert re.search(words, run.output), run.output
        assert run.memory < (200 << 20) + path.stat().st_size // 10, (command, run.memory >> 20)
        assert run.seconds < 10, (command, run.seconds)


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_built_to_take_memory_or_time(tmp_path: Path, name: str) -> None:
    file, make, words = BOMBS[name]
    path = tmp_path / file
    path.write_bytes(make())
    _check(path, words)


@pytest.mark.parametrize(("make", "words"), [(large_fat, "FAT sectors"), (large_mini_fat, "more than it needs")])
def test_tables_larger_than_what_they_are_of(tmp_path: Path, make: Callable[[Path, int], None], words: str) -> None:
    path = tmp_path / "a.msi"
    make(path, 1_200_000)
    _check(path, words)
