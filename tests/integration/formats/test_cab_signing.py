"""Cabinets of every shape: signed, accepted by osslsigncode where it reads them, and still read by gcab and
cabextract; and those of other signers verified."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.authenticode.cab import CabFile
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe.page_hash_attribute import PLAIN_IMAGE_DATA
from kspsign.authenticode.signable import Digest
from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.forging import ALGORITHM, forge
from support.formats import cab_samples
from support.formats.cab_samples import FILES, build_cab, extracted, gcab, listed
from support.formats.peimages import patched
from support.pki import Key
from support.samples import Run, Store, kspsign, osslsigncode_verify

SHAPES: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, True),
    "three folders": ({"folders": 3}, True),
    "a set's first": ({"following": (b"b.cab", b"disk 2")}, True),
    "place for a signature": ({"reserve": bytes(20)}, False),
    "6144 bytes for a signature": ({"reserve": bytes(6144)}, False),
    "a reserve too small": ({"reserve": bytes(4)}, False),
    "folder reserve": ({"folder_reserve": 128}, False),
    "data reserve": ({"data_reserve": 9, "reserve": bytes(20)}, False),
    "another's reserve": ({"reserve": struct.pack("<HH", 6, 0) + b"theirs"}, False),
}


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


@pytest.mark.parametrize(("shape", "peer_reads"), SHAPES.values(), ids=SHAPES)
def test_a_signed_cabinet_is_still_a_cabinet(
    store: Store, tmp_path: Path, shape: dict[str, Any], peer_reads: bool
) -> None:
    path, original = tmp_path / "data.cab", build_cab(**shape)
    path.write_bytes(original)
    before = extracted(path, tmp_path / "before")
    run = sign(path, store)
    assert run.code == 0, run.text
    data = path.read_bytes()
    checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert checks["digest"].upper() == cab_samples.digest(data)
    assert extracted(path, tmp_path / "after") == before
    assert listed(path) == sorted(before, key=lambda name: original.index(name.encode()))
    if peer_reads:
        peer = osslsigncode_verify(path, store.root)
        assert peer.accepted, peer.text
        assert peer.calculated_digests == [cab_samples.digest(data)]
    else:
        assert struct.unpack_from("<H", data, 36)[0] == max(len(shape.get("reserve", b"")), 20 + (data[40] or 0))
    for _ in range(2):
        sign(path, store, "--replace")
        assert path.read_bytes()[:36] == data[:36]
        assert cab_samples.digest(path.read_bytes()) == cab_samples.digest(data)


def test_a_checksum_in_the_header_goes(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "data.cab"
    path.write_bytes(patched(build_cab(), 4, b"\1\2\3\4"))
    assert sign(path, store).code == 0
    assert path.read_bytes()[4:8] == bytes(4)


def test_each_volume_of_a_set(store: Store, tmp_path: Path) -> None:
    """The number in the set is signed; the peer leaves it out and refuses the second volume."""
    for number, name in enumerate(("one.cab", "two.cab")):
        path = tmp_path / name
        neighbours = {"previous": (b"one.cab", b"disk 1")} if number else {"following": (b"two.cab", b"disk 2")}
        path.write_bytes(build_cab(number=number, **neighbours))  # type: ignore[arg-type]
        assert sign(path, store).code == 0
        assert listed(path) == [f"0-{name}" for name in FILES]
        path.write_bytes(patched(path.read_bytes(), 34, b"\5"))
        verdict = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
        assert verdict.error_code == "TRUST_E_BAD_DIGEST"


@pytest.mark.parametrize("options", [(), ("-z",)], ids=["stored", "compressed"])
def test_gcabs_own(store: Store, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = gcab(tmp_path, *options)
    sign(path, store)
    run = sign(path, store, "--append", "--digest", "sha512")
    assert run.code == 0, run.text
    assert [(signature["digest"], bool(signature["timestamp"])) for signature in run.file["signatures"]] == [
        ("sha256", True),
        ("sha512", True),
    ]
    assert osslsigncode_verify(path, store.root).accepted
    assert extracted(path, tmp_path / "out") == FILES
    assert sign(path, store).file["outcome"] == "skipped"


KEYS = {
    "P-256": (lambda: ec.generate_private_key(ec.SECP256R1()), "sha256"),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), "sha384"),
    "P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), "sha512"),
    "RSA-2048": (lambda: rsa_key(2048), "sha512"),
    "RSA-3072": (lambda: rsa_key(3072), "sha384"),
    "RSA-4096": (lambda: rsa_key(4096), "sha256"),
}


@pytest.mark.parametrize(("make", "digest"), KEYS.values(), ids=KEYS)
def test_keys_and_digests_both_ways(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    timestamp_server: TimestampServer,
    authority_root: Path,
    make: Callable[[], Key],
    digest: str,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path, key=make())
    ours, theirs, unsigned = tmp_path / "ours.cab", tmp_path / "theirs.cab", tmp_path / "unsigned.cab"
    unsigned.write_bytes(build_cab())
    shutil.copyfile(unsigned, ours)
    run = kspsign("run", ours, *file.options, "--digest", digest, "--no-timestamp", folder=tmp_path)
    assert run.code == 0, run.text
    assert osslsigncode_verify(ours, file.root).accepted
    options = ("-pkcs12", file.path, "-pass", PASSWORD, "-h", digest, "-in", unsigned, "-out", theirs)
    subprocess.run(["osslsigncode", "sign", *options], check=True, capture_output=True)
    roots = ("--trust-root", file.root, "--trust-root", authority_root)
    assert kspsign("verify", theirs, *roots, folder=tmp_path).error_code == "TRUST_E_TIME_STAMP"
    assert kspsign("timestamp", theirs, "--timestamp-url", timestamp_server.url, *roots, folder=tmp_path).code == 0
    assert kspsign("verify", theirs, *roots, folder=tmp_path).code == 0


def test_image_data_in_place_of_a_link(store: Store, tmp_path: Path) -> None:
    """As some signers write it; the format's object identifier says enough."""
    path = tmp_path / "data.cab"
    path.write_bytes(build_cab())

    def content(digest: Digest) -> bytes:
        return indirect_data(OID_SPC_CAB_DATA, PLAIN_IMAGE_DATA, ALGORITHM, digest.values[ALGORITHM])

    assert forge(CabFile.open(Snapshot(path)), store, tmp_path / "signed.cab", content).code == 0
    assert osslsigncode_verify(tmp_path / "signed.cab", store.root).accepted


def test_a_signature_in_the_reserve(store: Store, tmp_path: Path) -> None:
    """As signers put it there when reserves were made for it."""
    path, inside = tmp_path / "data.cab", tmp_path / "inside.cab"
    path.write_bytes(build_cab(reserve=bytes(12_000)))
    sign(path, store)
    data, (signature,) = path.read_bytes(), CabFile.open(Snapshot(path)).signatures
    (total,) = struct.unpack_from("<I", data, 8)
    inside.write_bytes(patched(data[:total], 40, struct.pack("<HH", 0, len(signature)) + signature))
    assert kspsign("verify", inside, "--trust-root", store.root, folder=tmp_path).code == 0
    for broken in (patched(data[:total], 12_030, b"\1"), data[:total]):
        changed = patched(broken, 40, struct.pack("<HH", 0, len(signature)) + signature)
        inside.write_bytes(changed if broken[12_030] else changed + b"x")
        refused = kspsign("verify", inside, "--trust-root", store.root, folder=tmp_path)
        assert refused.error_code == "TRUST_E_MALFORMED_SIGNATURE"


SLACK = struct.pack("<I", len(build_cab()) + 5)
FULL = struct.pack("<HH", 59_990, 0).ljust(60_000, b"x")[:59_994]
REFUSED = {
    "a reserve of another make": (build_cab(reserve=b"private data of an installer"), "another program's data"),
    "a reserve that is full": (build_cab(reserve=FULL), "leave no room"),
    "data that no folder has": (patched(build_cab() + b"slack", 8, SLACK), "the blocks from"),
    "data behind it": (build_cab() + b"appended", "data follows the cabinet (8 bytes); signing would drop it"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_signing_would_destroy_costs_no_signature(store: Store, tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "data.cab"
    path.write_bytes(data)
    run = sign(path, store)
    assert (run.code, run.report["totals"]["signatures_used"]) == (6, 0)
    assert reason in run.file["error"]["message"]
    assert path.read_bytes() == data


def test_a_cabinet_that_would_reach_4_gib_costs_no_signature(store: Store, tmp_path: Path) -> None:
    path, size = tmp_path / "huge.cab", (4 << 30) - 4096
    path.write_bytes(patched(build_cab(files={}), 8, struct.pack("<I", size)))
    with path.open("r+b") as file:
        file.truncate(size)
    run = sign(path, store)
    path.unlink()
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_BAD_FORMAT", 0)
    assert "4 GiB" in run.file["error"]["message"]
