"""Business Central packages without NavSip: signed, held against OpenSSL, and twins of them refused."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA, OID_SPC_SIP_INFO
from kspsign.authenticode.cms.spc import indirect_data, sip_indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.navx import NavxFile
from kspsign.authenticode.signable import Digest
from kspsign.embedded.authority import load_authority
from kspsign.embedded.timestamp_server import TimestampServer
from support.forging import ALGORITHM, forge
from support.formats.navx_samples import block, build_navx, openssl_verify
from support.formats.peimages import flipped
from support.samples import Run, Store, kspsign

SHAPES: dict[str, dict[str, Any]] = {
    "app": {},
    "runtime package": {"runtime": True},
    "first version": {"version": 1},
    "empty": {"content": b""},
    "2 MiB": {"content": b"PK\3\4" + bytes(2 << 20)},
}


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_accepts_the_signature_and_its_digest(
    store: Store, tmp_path: Path, shape: dict[str, Any], digest: str
) -> None:
    path, original = tmp_path / "some.app", build_navx(**shape)
    path.write_bytes(original)
    run = sign(path, store, "--digest", digest)
    assert run.code == 0, run.text
    data = path.read_bytes()
    assert data[: block(data)] == original
    assert openssl_verify(path, store.root) == hashlib.new(digest, original).hexdigest()
    path.write_bytes(data[: block(data) + 4] + flipped(data[block(data) + 4 :], 130))
    with pytest.raises(subprocess.CalledProcessError):
        openssl_verify(path, store.root)


def test_appended_replaced_stamped_later_and_skipped(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "some.app"
    path.write_bytes(build_navx(runtime=True))
    sign(path, store)
    run = sign(path, store, "--append", "--digest", "sha512")
    signatures = [(signature["digest"], bool(signature["timestamp"])) for signature in run.file["signatures"]]
    assert (run.code, signatures) == (0, [("sha256", True), ("sha512", True)])
    openssl_verify(path, store.root)
    assert sign(path, store).file["outcome"] == "skipped"
    assert len(sign(path, store, "--replace", "--no-timestamp").file["signatures"]) == 1
    with TimestampServer(load_authority(store.folder / "embedded")) as server:
        options = ("--timestamp-url", server.url, "--trust-root", store.root)
        assert kspsign("timestamp", path, *options, folder=tmp_path).file["signatures"][0]["timestamp"]
    openssl_verify(path, store.root)


@pytest.fixture(scope="module")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("navx") / "some.app"
    path.write_bytes(build_navx())
    assert sign(path, store).code == 0
    return path.read_bytes()


REGIONS = {
    "magic": (0, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
    "header size": (4, "ERROR_BAD_FORMAT"),
    "version": (8, "TRUST_E_BAD_DIGEST"),
    "package id": (12, "TRUST_E_BAD_DIGEST"),
    "content length": (28, "ERROR_BAD_FORMAT"),
    "content length, high": (33, "ERROR_BAD_FORMAT"),
    "second magic": (36, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
    "content": (700, "TRUST_E_BAD_DIGEST"),
    "block": ("block", "ERROR_BAD_FORMAT"),
    "signature's begin": ("signature", "TRUST_E_MALFORMED_SIGNATURE"),
    "block's offset": (-8, "ERROR_BAD_FORMAT"),
    "block's end": (-1, "ERROR_BAD_FORMAT"),
}


@pytest.mark.parametrize(("where", "code"), REGIONS.values(), ids=REGIONS)
def test_a_byte_of_each_region(store: Store, tmp_path: Path, signed: bytes, where: int | str, code: str) -> None:
    named = {"block": block(signed), "signature": block(signed) + 4}
    offset = where % len(signed) if isinstance(where, int) else named[where]
    path = tmp_path / "twin.app"
    path.write_bytes(flipped(signed, offset))
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert (run.code, run.error_code) == (2, code)


def with_tail(data: bytes, tail: bytes) -> bytes:
    """The package with `tail` behind the signature, inside its block."""
    return data[:-8] + tail + data[-8:]


TAILS = {
    "behind the block": (lambda data: data + b"hidden", "ERROR_BAD_FORMAT"),
    "behind the block, as another block": (lambda data: data + data[block(data) :], "TRUST_E_MALFORMED_SIGNATURE"),
    "in the block": (lambda data: with_tail(data, b"hidden"), "TRUST_E_MALFORMED_SIGNATURE"),
    "zeros in the block": (lambda data: with_tail(data, bytes(8)), "TRUST_E_MALFORMED_SIGNATURE"),
    "before the block": (lambda data: data[: block(data)] + b"x" + data[block(data) :], "ERROR_BAD_FORMAT"),
    "the block cut off": (lambda data: data[:-1], "ERROR_BAD_FORMAT"),
    "no signature in the block": (
        lambda data: data[: block(data)] + b"NXSB" + struct.pack("<I", block(data)) + b"NXSB",
        "ERROR_BAD_FORMAT",
    ),
    "the block gone": (lambda data: data[: block(data)], "TRUST_E_NOSIGNATURE"),
}


@pytest.mark.parametrize(("change", "code"), TAILS.values(), ids=TAILS)
def test_what_else_is_behind_the_content(store: Store, tmp_path: Path, signed: bytes, change: Any, code: str) -> None:
    path = tmp_path / "twin.app"
    path.write_bytes(change(signed))
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert (run.code, run.error_code) == (2, code)


def test_padding_to_eight_bytes_is_none(store: Store, tmp_path: Path, signed: bytes) -> None:
    path = tmp_path / "padded.app"
    path.write_bytes(with_tail(signed, bytes(7)))
    assert kspsign("verify", path, "--trust-root", store.root, folder=tmp_path).code == 0


NO_GUID = bytes.fromhex("3003020101")
STATED = {
    "navsip's, whatever its GUID": (
        lambda digest: sip_indirect_data(1, os.urandom(16), ALGORITHM, digest.values[ALGORITHM]),
        None,
    ),
    "no GUID": (
        lambda digest: indirect_data(OID_SPC_SIP_INFO, NO_GUID, ALGORITHM, digest.values[ALGORITHM]),
        "sip",
    ),
    "a cabinet's": (
        lambda digest: indirect_data(OID_SPC_CAB_DATA, b"\x30\x00", ALGORITHM, digest.values[ALGORITHM]),
        "cms-structure",
    ),
}


@pytest.mark.parametrize(("content", "check"), STATED.values(), ids=STATED)
def test_what_the_signature_says_it_covers(store: Store, tmp_path: Path, content: Any, check: str | None) -> None:
    path = tmp_path / "some.app"
    path.write_bytes(build_navx())

    def covered(digest: Digest) -> bytes:
        return bytes(content(digest))

    run = forge(NavxFile.open(Snapshot(path)), store, tmp_path / "forged.app", covered)
    failed = [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]
    assert check in (failed or [None])


def test_a_package_of_4_gib_costs_no_signature(store: Store, tmp_path: Path) -> None:
    path, size = tmp_path / "huge.app", 4 << 30
    path.write_bytes(build_navx(content=b"")[:28] + struct.pack("<q", size) + b"NAVX")
    with path.open("r+b") as file:
        file.truncate(size + 40)
    run = sign(path, store)
    path.unlink()
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_BAD_FORMAT", 0)
    assert "4 GiB" in run.file["error"]["message"]
