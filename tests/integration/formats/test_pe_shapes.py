"""Images of every shape: signed, accepted by the peer, with the digest and checksum that it computes."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, signing_file
from support.formats import peimages
from support.formats.peimages import build_pe, parts, patched, with_checksum, with_table
from support.samples import Run, Store, corpus, kspsign, osslsigncode_verify

SHAPES: dict[str, dict[str, Any]] = {
    "PE32": {"plus": False},
    "PE32+": {},
    "arm64": {"machine": 0xAA64},
    "EFI application": {"subsystem": 10},
    "driver": {"subsystem": 1},
    "no sections": {"sections": ()},
    "no sections, PE32": {"sections": (), "plus": False},
    "one empty section": {"sections": (b"",)},
    "header far behind": {"header_at": 0x1F00, "alignment": 4096},
    "header at 64": {"header_at": 0x40},
    "aligned to 4096": {"alignment": 4096},
    "aligned to 16": {"alignment": 16},
    "five directories": {"directories": 5},
    "five directories, PE32": {"directories": 5, "plus": False},
    "odd size": {"overlay": b"x"},
    "seven over": {"overlay": b"1234567"},
    "overlay": {"overlay": bytes(range(256)) * 33},
    "many sections": {"sections": tuple(bytes([index]) * 100 for index in range(1, 90))},
}


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_is_signed_as_the_peer_would(store: Store, tmp_path: Path, shape: dict[str, Any]) -> None:
    path, original = tmp_path / "image.sys", build_pe(**shape)
    path.write_bytes(original)
    run = sign(path, store)
    assert run.code == 0, run.text
    data = path.read_bytes()
    found = parts(data)
    assert found.table == len(original) + -len(original) % 8
    assert found.table + found.table_size == len(data)
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    assert peer.calculated_digests == [peimages.digest(data)] == [peimages.digest(original)]
    assert struct.unpack_from("<I", data, found.checksum)[0] == peimages.checksum(data) == peer.calculated_checksum
    checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert checks["digest"].upper() == peimages.digest(data)
    assert checks["checksum"] == f"0x{peimages.checksum(data):08X}"


def test_what_the_peer_signs_is_verified(
    tmp_path: Path, timestamp_server: TimestampServer, authority_root: Path
) -> None:
    file = signing_file(tmp_path)
    unsigned, path, roots = tmp_path / "unsigned.exe", tmp_path / "image.exe", ("--trust-root", str(file.root))
    unsigned.write_bytes(build_pe(overlay=b"odd"))
    key = ("-pkcs12", str(file.path), "-pass", PASSWORD, "-h", "sha384", "-ts", timestamp_server.url)
    command = ["osslsigncode", "sign", *key, "-n", "by the peer", "-in", str(unsigned), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    run = kspsign("verify", path, *roots, "--trust-root", authority_root, folder=tmp_path)
    assert run.code == 0, run.text
    assert run.file["signatures"][0]["digest"] == "sha384"
    assert run.file["signatures"][0]["timestamp"]
    checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert checks["digest"].upper() == peimages.digest(unsigned.read_bytes(), "sha384")


def test_four_directories_leave_no_room(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe(directories=4))
    run = sign(path, store)
    assert (run.code, run.error_code) == (6, "ERROR_BAD_FORMAT")
    assert "4 data directories" in run.text
    assert path.read_bytes() == build_pe(directories=4)


def test_several_table_entries_are_each_verified(store: Store, tmp_path: Path) -> None:
    """Windows looks at the first alone; here each must hold."""
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe())
    sign(path, store)
    first = path.read_bytes()
    sign(path, store, "--replace", "--digest", "sha512")
    second = path.read_bytes()
    table = first[parts(first).table :] + second[parts(second).table :]
    path.write_bytes(with_checksum(with_table(first, table)))
    both = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert both.code == 0, both.text
    assert [signature["digest"] for signature in both.file["signatures"]] == ["sha256", "sha512"]
    broken = bytearray(table)
    broken[-20] ^= 1
    path.write_bytes(with_checksum(with_table(first, bytes(broken))))
    one = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert one.code == 2


def test_data_behind_the_table_is_neither_lost_nor_signed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe())
    sign(path, store)
    path.write_bytes(path.read_bytes() + b"appended")
    before = path.read_bytes()
    run = sign(path, store, "--replace")
    assert (run.code, run.error_code) == (6, "TRUST_E_MALFORMED_SIGNATURE")
    assert "data follows the certificate table" in run.text
    assert path.read_bytes() == before


def test_a_table_that_was_emptied_is_signed_anew(store: Store, tmp_path: Path) -> None:
    path, image = tmp_path / "image.exe", build_pe()
    path.write_bytes(image)
    sign(path, store)
    signed = path.read_bytes()
    path.write_bytes(patched(signed[: parts(signed).table], parts(signed).directory, bytes(8)))
    assert sign(path, store).code == 0
    assert peimages.digest(path.read_bytes()) == peimages.digest(image)


def test_a_real_dotnet_assembly(store: Store, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(corpus("Python.Runtime.dll"), tmp_path / "Python.Runtime.dll"))
    data = path.read_bytes()
    found = parts(data)
    assert any(data[found.directory + 8 * 10 :][:8]), "the CLR header's directory entry"
    assert sign(path, store).code == 0
    assert osslsigncode_verify(path, store.root).accepted


def test_signing_again_gives_the_same_content(store: Store, tmp_path: Path) -> None:
    """Replacing a signature any number of times never grows the file or changes what is signed."""
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe(overlay=b"abc"))
    sign(path, store, "--no-timestamp")
    first = path.read_bytes()
    for _ in range(3):
        sign(path, store, "--replace", "--no-timestamp")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(first).digest()
