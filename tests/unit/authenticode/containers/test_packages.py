"""Packages and bundles (MSIX) written again: their own rules hold, and what is not replaced keeps its bytes."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from kspsign.authenticode.appx.digests import hash_package
from kspsign.authenticode.appx.package import read_package
from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.containers.rebuild import rebuild
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.model.errors import ArtifactError
from support.formats.appx_samples import FILES, Package
from support.formats.zips import Part

GROWN = b"MZ signed" + bytes(range(256)) * 999
NAME = "Assets/Größe & 100%.png"


def _replace(path: Path, name: str, content: bytes) -> Path:
    new, target = path.with_name("new"), path.with_name(f"rebuilt-{path.name}")
    new.write_bytes(content)
    rebuild(open_container(path, Bounds()), {name: new}, target)
    return target


def _faults(path: Path) -> list[str]:
    hashed = hash_package(read_package(Snapshot(path)), [])
    return [found.detail for found in hashed.findings if found.hresult is not None]


@pytest.mark.parametrize("name", ["App.exe", NAME, "empty.txt", "exactly.bin"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("zip64", [True, False])
def test_the_block_map_follows_a_replaced_file(name: str, algorithm: str, zip64: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(Package(algorithm=algorithm, zip64=zip64).build())
    target = _replace(path, name, GROWN)
    assert _faults(target) == []
    expected = tmp_path / "packed.msix"
    expected.write_bytes(Package(files=FILES | {name: GROWN}, algorithm=algorithm, zip64=zip64).build())
    _same(target, expected, but={"AppxBlockMap.xml"})  # its content is the same, packed in another way
    _same(target, path, but={"AppxBlockMap.xml", name})


def test_a_package_without_replacement_is_the_same(tmp_path: Path) -> None:
    path, target = tmp_path / "some.appx", tmp_path / "again"
    path.write_bytes(Package().build())
    rebuild(open_container(path, Bounds()), {}, target)
    assert target.read_bytes()[:-22] == path.read_bytes()[:-22]


def test_white_space_prefixes_and_file_hashes_of_a_block_map_stay(tmp_path: Path) -> None:
    exe = FILES["App.exe"]
    text = base64.b64encode(hashlib.sha256(exe).digest()).decode()
    changes = {
        "<BlockMap xmlns=": '<BlockMap xmlns:b4="http://schemas.microsoft.com/appx/2021/blockmap" xmlns=',
        "</File>": f'<b4:FileHash  Hash = "{text}"></b4:FileHash></File>\r\n\t<!-- next -->',
    }
    path = tmp_path / "some.msix"
    path.write_bytes(Package(block_map=changes).build())
    target = _replace(path, "App.exe", GROWN)
    assert _faults(target) == []
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target) as after:
        old, new = (archive.read("AppxBlockMap.xml").decode() for archive in (before, after))
    whole = base64.b64encode(hashlib.sha256(GROWN).digest()).decode()
    assert f'<b4:FileHash  Hash = "{whole}"></b4:FileHash></File>\r\n\t<!-- next --><File Name="Assets' in new
    assert old.partition("<!-- next -->")[2] == new.partition("<!-- next -->")[2]


@pytest.mark.parametrize("zip64", [True, False])
def test_a_bundle_states_where_its_packages_are(zip64: bool, tmp_path: Path) -> None:
    arm = Package(files={}, identity=' ProcessorArchitecture="arm64"').build()
    path = tmp_path / "some.msixbundle"
    path.write_bytes(Package(zip64=zip64).bundle({"a%201.msix": Package().build(), "b.msix": arm}, ("", "arm64")))
    container = open_container(path, Bounds())
    assert container.kind is ContainerKind.MSIX_BUNDLE
    grown = Package(files=FILES | {"App.exe": GROWN}).build()
    target = _replace(path, "a 1.msix", grown)
    assert _faults(target) == []
    package = read_package(Snapshot(target))
    assert [(inner.name, inner.size) for inner in package.manifest.packages] == [
        ("a 1.msix", len(grown)),
        ("b.msix", len(arm)),
    ]
    expected = tmp_path / "packed.msixbundle"
    expected.write_bytes(Package(zip64=zip64).bundle({"a%201.msix": grown, "b.msix": arm}, ("", "arm64")))
    packed = {"AppxBlockMap.xml", "AppxMetadata/AppxBundleManifest.xml"}
    _same(target, expected, but=packed)
    with zipfile.ZipFile(target) as ours, zipfile.ZipFile(expected) as theirs:
        assert [ours.read(name) for name in packed] == [theirs.read(name) for name in packed]


@pytest.mark.parametrize(
    ("package", "words"),
    [
        (Package(block_map={'LfhSize="37"': 'LfhSize="38"'}), "LfhSize"),
        (Package(extra=[Part("AppxSignature.p7x", b"PKCX0")]), "it is signed"),
        (Package(block_map={"</File>": '<x:Note xmlns:x="urn:x"/></File>'}), "AppxBlockMap.xml can't be read"),
    ],
)
def test_what_can_not_be_written_again_is_refused(package: Package, words: str, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(package.build())
    with pytest.raises(ArtifactError, match=words):
        _replace(path, "App.exe", GROWN)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "some.msix"]


def _same(path: Path, other: Path, but: set[str]) -> None:
    """Both have the same entries, of which all have the same headers and packed data `but` some."""
    raw = []
    for one in (path, other):
        data, entries = one.read_bytes(), open_container(one, Bounds()).entries
        raw.append({entry.name: data[entry.entry.offset : entry.entry.end] for entry in entries})
    assert list(raw[0]) == list(raw[1])
    assert {name for name in raw[0] if raw[0][name] != raw[1][name]} <= but
