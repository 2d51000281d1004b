"""A package that was written again around another file is signed like any other: osslsigncode accepts it, and twins in
which inside and outside do not belong together are refused."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.containers.rebuild import check_rebuild, rebuild
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.zip import ArchiveWriter, Plan, ZipMember, archive_of, unpack
from kspsign.model.errors import ArtifactError
from support.formats.appx_samples import Package
from support.formats.nuget_samples import package
from support.formats.vsix_samples import package as vsix_package
from support.formats.zips import Part, build_zip
from support.signing import Publisher

INSIDE = b"MZ" + bytes(range(256)) * 900
DLL = "Contoso.Tools.dll"
SIGNED = INSIDE + b"as it is once signed" * 300


@dataclass(frozen=True)
class Kind:
    """A container with one signable file: `content` packs it around what that holds."""

    suffix: str
    name: str
    signature: str

    def content(self, data: bytes) -> bytes:
        """The unsigned container."""
        if self.suffix == ".msix":
            return Package(files={self.name: data, "kept.png": b"\x89PNG" * 9}).build()
        return package(Part(self.name, data, deflate=True))


KINDS = [Kind(".msix", "App.exe", "AppxSignature.p7x"), Kind(".nupkg", "lib/net8.0/a.dll", ".signature.p7s")]


def _around(path: Path, name: str, content: bytes) -> Path:
    """The container with other content in one file, and without its signature."""
    new, target = path.with_name("new"), path.with_name(f"around-{path.name}")
    new.write_bytes(content)
    rebuild(open_container(path, Bounds()), {name: new}, target, drop_signature=True)
    return target


def _with_signature(path: Path, name: str, of: Path) -> bytes:
    """The unsigned container with the signature of another one."""
    archive, other = archive_of(Snapshot(path)), archive_of(Snapshot(of))
    entry = other.find(name)
    assert entry is not None
    with of.open("rb") as file:
        member = ZipMember(name, unpack(file, other, entry, 1 << 20))
    with path.with_name("joined").open("w+b") as file:
        replace(Plan(archive, archive.entries, sort=True), added=(member,)).write(file)
    return path.with_name("joined").read_bytes()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.suffix)
def test_a_container_around_a_signed_file_is_signed_itself(kind: Kind, publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / f"some{kind.suffix}"
    path.write_bytes(kind.content(INSIDE))
    target = _around(path, kind.name, SIGNED)
    run = publisher.sign(target)
    assert (run.code, run.file["outcome"]) == (0, "signed"), run.text
    assert publisher.verify(target).code == 0
    if kind.suffix == ".msix":
        assert publisher.peer(target).accepted

    changed = _around(target, kind.name, SIGNED + b"!")
    code = publisher.refusal(path, _with_signature(changed, kind.signature, target))
    assert code == "TRUST_E_BAD_DIGEST", "the inside and what lists it was written again after signing"
    other = tmp_path / f"other{kind.suffix}"
    other.write_bytes(kind.content(INSIDE[::-1]))
    assert publisher.sign(other).code == 0
    unsigned = _around(other, kind.name, SIGNED)
    code = publisher.refusal(path, _with_signature(unsigned, kind.signature, other))
    assert code == "TRUST_E_BAD_DIGEST", "the signature is that of another content"


def test_a_package_of_visual_studio_is_signed_again_around_a_signed_file(publisher: Publisher, tmp_path: Path) -> None:
    path, plain = tmp_path / "some.vsix", tmp_path / "plain.vsix"
    for one in (path, plain):
        one.write_bytes(vsix_package())
    assert publisher.sign(path).code == 0
    signed = open_container(path, Bounds())
    assert (signed.kind, signed.is_signed) == (ContainerKind.VSIX, True)
    check_rebuild(signed, [DLL], drop_signature=True)
    with pytest.raises(ArtifactError, match="it is signed"):
        check_rebuild(signed, [DLL])
    again, first = _around(path, DLL, SIGNED), _around(plain, DLL, SIGNED)
    assert _contents(again) == _contents(first), "nothing of the former signature is left"
    run = publisher.sign(again)
    assert (run.code, run.file["outcome"]) == (0, "signed"), run.text
    assert publisher.verify(again).code == 0

    archive = archive_of(Snapshot(path))
    with path.open("rb") as source, (tmp_path / "twin").open("w+b") as target:
        writer = ArchiveWriter(archive, source, target)
        for entry in archive.entries:
            writer.replace(entry, (SIGNED,)) if entry.name == DLL else writer.keep(entry)
        writer.finish()
    assert publisher.refusal(path, (tmp_path / "twin").read_bytes()) == "TRUST_E_BAD_DIGEST"


def _contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_file_changed_without_its_block_map_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(Package(files={"App.exe": INSIDE}).build())
    assert publisher.sign(path).code == 0
    archive = archive_of(Snapshot(path))
    with path.open("rb") as file:
        parts = {entry.name: unpack(file, archive, entry, 1 << 20) for entry in archive.entries}
    swapped = [
        Part(name, INSIDE[::-1] if name == "App.exe" else data, deflate=name != "AppxSignature.p7x", descriptor=True)
        for name, data in parts.items()
    ]
    assert publisher.refusal(path, build_zip(swapped, zip64=True)) is not None
