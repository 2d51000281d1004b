"""Tampered twins of a signed cabinet, one byte in each region of it, and cabinets that contradict themselves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kspsign.authenticode.cab import CabFile
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from support.formats.cab_samples import build_cab
from support.formats.peimages import build_pe, flipped, patched
from support.samples import Run, Store, kspsign, osslsigncode_verify

FOLDER = 36 + 4 + 20
FILE = FOLDER + 2 * 8


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


@pytest.fixture(scope="module")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cab") / "data.cab"
    path.write_bytes(build_cab(folders=2))
    assert sign(path, store).code == 0
    return path.read_bytes()


REGIONS = {
    "magic": (0, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
    "header checksum": (5, "TRUST_E_MALFORMED_SIGNATURE"),
    "cabinet size": (8, "ERROR_BAD_FORMAT"),
    "reserved": (13, "TRUST_E_BAD_DIGEST"),
    "offset of the files": (16, "ERROR_BAD_FORMAT"),
    "reserved, the third": (21, "TRUST_E_BAD_DIGEST"),
    "minor version": (24, "TRUST_E_BAD_DIGEST"),
    "major version": (25, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
    "number of folders": (26, "ERROR_BAD_FORMAT"),
    "number of files": (28, "TRUST_E_BAD_DIGEST"),
    "flags": (30, "ERROR_BAD_FORMAT"),
    "set": (32, "TRUST_E_BAD_DIGEST"),
    "number in the set": (34, "TRUST_E_BAD_DIGEST"),
    "size of the reserve": (36, "ERROR_BAD_FORMAT"),
    "size of the folders' reserve": (38, "ERROR_BAD_FORMAT"),
    "size of the data's reserve": (39, "TRUST_E_MALFORMED_SIGNATURE"),
    "another's length": (40, "TRUST_E_NOSIGNATURE"),
    "the place's length": (42, "TRUST_E_NOSIGNATURE"),
    "offset of the signature": (44, "ERROR_BAD_FORMAT"),
    "size of the signature": (51, "ERROR_BAD_FORMAT"),
    "the place's zeros": (52, "TRUST_E_MALFORMED_SIGNATURE"),
    "the place's last byte": (59, "TRUST_E_MALFORMED_SIGNATURE"),
    "a folder's data": (FOLDER, "TRUST_E_BAD_DIGEST"),
    "a folder's compression": (FOLDER + 6, "TRUST_E_BAD_DIGEST"),
    "a file's size": (FILE, "TRUST_E_BAD_DIGEST"),
    "a file's name": (FILE + 17, "TRUST_E_BAD_DIGEST"),
    "a data block": (-1, "TRUST_E_BAD_DIGEST"),
    "the signature's begin": (-2, "TRUST_E_MALFORMED_SIGNATURE"),
    "the signature's middle": (-3, None),
}


@pytest.mark.no_cover
@pytest.mark.parametrize(("offset", "code"), REGIONS.values(), ids=REGIONS)
def test_a_byte_of_each_region(store: Store, tmp_path: Path, signed: bytes, offset: int, code: str | None) -> None:
    (total,) = struct.unpack_from("<I", signed, 8)
    offset = {-1: total - 1, -2: total, -3: (total + len(signed)) // 2}.get(offset, offset)
    path = tmp_path / "twin.cab"
    path.write_bytes(flipped(signed, offset))
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert run.code == 2
    assert code in {None, run.error_code}


def test_the_untouched_one_is_accepted(store: Store, tmp_path: Path, signed: bytes) -> None:
    path = tmp_path / "twin.cab"
    path.write_bytes(signed)
    assert kspsign("verify", path, "--trust-root", store.root, folder=tmp_path).code == 0
    assert osslsigncode_verify(path, store.root).accepted


def test_data_behind_the_signature_inside_and_outside_its_size(store: Store, tmp_path: Path, signed: bytes) -> None:
    path = tmp_path / "twin.cab"
    length = struct.unpack_from("<I", signed, 48)[0]
    told = patched(signed, 48, struct.pack("<I", length + 16))
    for twin in (signed + b"hidden", told + b"hidden in padding", told + bytes(16)):
        path.write_bytes(twin[: len(signed) + 16])
        run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
        failed = [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]
        assert (failed, run.error_code) == (["trailing-data"], "TRUST_E_MALFORMED_SIGNATURE")


@pytest.mark.parametrize(("name", "data"), [("a.cab", build_cab()), ("a.exe", build_pe())], ids=["cab", "pe"])
def test_a_timestamp_does_not_lose_what_follows(store: Store, tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert sign(path, store, "--no-timestamp").code == 0
    longer = path.read_bytes() + b"appended after signing"
    path.write_bytes(longer)
    run = kspsign("timestamp", path, "--timestamp-url", "http://127.0.0.1:9", folder=tmp_path)
    assert run.error_code == "TRUST_E_MALFORMED_SIGNATURE"
    assert "trailing-data" in run.file["error"]["message"]
    assert path.read_bytes() == longer


PLAIN = build_cab()
SET = build_cab(previous=(b"a.cab", b"disk 1"))
CONTRADICTIONS = {
    "cut off in the header": (PLAIN[:30], "cut off"),
    "cut off in the folders": (PLAIN[:40], "cut off"),
    "cut off in the data": (PLAIN[:-1], "the file has"),
    "unknown flags": (patched(PLAIN, 30, b"\x08"), "three bits"),
    "a longer header": (patched(PLAIN, 16, b"\xff"), "its list of files"),
    "a folder behind the end": (patched(PLAIN, 36, b"\xff\xff\xff\xff"), "outside the cabinet"),
    "a folder in the header": (patched(PLAIN, 36, bytes(4)), "outside the cabinet"),
    "a name without end": (SET[:36] + b"a" * 300 + SET[36:], "has no end"),
    "a signature elsewhere": (build_cab(reserve=struct.pack("<HHII8x", 0, 16, 99, 99)), "a signature of 99 bytes"),
    "a signature without size": (
        build_cab(reserve=struct.pack("<HHII8x", 0, 16, len(PLAIN) + 24, 0)),
        "a signature of 0 bytes",
    ),
}


@pytest.mark.parametrize(("data", "reason"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_itself_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "data.cab"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=reason) as caught:
        CabFile.open(Snapshot(path))
    assert caught.value.hresult is Hresult.ERROR_BAD_FORMAT
