"""A place of a signature that holds something unreadable is not an empty one, in any format: the file is refused and
keeps its bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.compound_builder import MSI, Folder, write_compound
from support.formats.msi_samples import sample_tree
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import patched
from support.formats.zips import Part
from support.samples import Run, Store, kspsign

SCRIPT = "Get-Date\r\n"
BEGIN, END = "# SIG # Begin signature block\r\n", "# SIG # End signature block\r\n"


def msi(content: bytes) -> Callable[[Path], object]:
    return lambda path: write_compound(path, sample_tree(**{"\5DigitalSignature": content}))


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cab(place: bytes, behind: bytes = b"") -> bytes:
    return build_cab(reserve=struct.pack("<HH", 0, 16) + place) + behind


def navx(block: bytes) -> bytes:
    data = build_navx()
    return data + b"NXSB" + block + struct.pack("<I", len(data)) + b"NXSB"


def msix(signature: bytes) -> bytes:
    return Package(extra=(Part("AppxSignature.p7x", signature),)).build()


SIZE = len(build_cab(reserve=bytes(20)))
SIGNED_ALREADY, DAMAGED = {"ALREADY_SIGNED"}, {"ERROR_BAD_FORMAT", "TRUST_E_MALFORMED_SIGNATURE"}
UNFIT = DAMAGED | {"ERROR_NOT_SUPPORTED"}
"""What appending meets first: formats that take one signature say so."""
PLACES: dict[str, tuple[str, Callable[[Path], object], set[str]]] = {
    "MSI, garbage": ("a.msi", msi(b"payload " * 700), SIGNED_ALREADY),
    "MSI, a short one": ("a.msi", msi(b"\0"), SIGNED_ALREADY),
    "MSI, an empty stream": ("a.msi", msi(b""), SIGNED_ALREADY),
    "MSI, a storage": ("a.msi", lambda path: write_compound(
        path, Folder({"\5DigitalSignature": Folder({})}, class_id=MSI)), DAMAGED),
    "cabinet, garbage": ("a.cab", written(cab(struct.pack("<II8x", SIZE, 64), b"payload " * 8)), SIGNED_ALREADY),
    "cabinet, zeros": ("a.cab", written(cab(struct.pack("<II8x", SIZE, 64), bytes(64))), SIGNED_ALREADY),
    "cabinet, a place without size": ("a.cab", written(cab(struct.pack("<II8x", SIZE, 0))), DAMAGED),
    "cabinet, another's data": ("a.cab", written(build_cab(reserve=b"another program's data")), DAMAGED),
    "cabinet, data behind it": ("a.cab", written(build_cab() + b"payload"), DAMAGED),
    "script, no base64": ("a.ps1", written(f"{SCRIPT}{BEGIN}# payload!\r\n{END}".encode()), SIGNED_ALREADY),
    "script, an empty block": ("a.ps1", written(f"{SCRIPT}{BEGIN}{END}".encode()), SIGNED_ALREADY),
    "script, no end": ("a.ps1", written(f"{SCRIPT}{BEGIN}# AAAA\r\n".encode()), SIGNED_ALREADY),
    "script, base64 of something": ("a.ps1", written(f"{SCRIPT}{BEGIN}# cGF5bG9hZA==\r\n{END}".encode()),
        SIGNED_ALREADY),
    "app package, garbage": ("a.app", written(navx(b"payload!" * 4)), SIGNED_ALREADY),
    "app package, no block": ("a.app", written(build_navx() + b"payload"), DAMAGED),
    "NuGet, garbage": ("a.nupkg", written(package(Part(".signature.p7s", b"payload"))), SIGNED_ALREADY),
    "NuGet, an empty one": ("a.nupkg", written(package(Part(".signature.p7s", b""))), SIGNED_ALREADY),
    "MSIX, garbage": ("a.msix", written(msix(b"payload")), DAMAGED),
    "MSIX, garbage behind its magic": ("a.msix", written(msix(b"PKCXpayload")), SIGNED_ALREADY | DAMAGED),
}  # fmt: skip


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


@pytest.mark.parametrize("options", [(), ("--append",), ("--skip-signed",)])
@pytest.mark.parametrize(("name", "make", "codes"), PLACES.values(), ids=PLACES)
def test_what_can_not_be_read_is_not_overwritten(
    store: Store,
    tmp_path: Path,
    name: str,
    make: Callable[[Path], object],
    codes: set[str],
    options: tuple[str, ...],
) -> None:
    path = tmp_path / name
    make(path)
    before = path.read_bytes()
    run = sign(path, store, *options)
    assert run.code == 6, run.text
    assert run.error_code in codes | (UNFIT if options == ("--append",) else set()), run.text
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == before


REPLACED = ["MSI, garbage", "MSI, an empty stream", "cabinet, garbage", "script, base64 of something",
    "app package, garbage", "NuGet, garbage"]  # fmt: skip


@pytest.mark.parametrize("place", REPLACED)
def test_it_is_overwritten_on_request(store: Store, tmp_path: Path, place: str) -> None:
    name, make, _ = PLACES[place]
    path = tmp_path / name
    make(path)
    run = sign(path, store, "--replace")
    assert run.code == 0, run.text
    assert b"payload" not in path.read_bytes()


def test_a_cabinet_whose_place_is_empty_is_unsigned(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.cab"
    path.write_bytes(patched(cab(bytes(16)), 4, bytes(4)))
    assert sign(path, store).code == 0
