"""Cabinets whose data has one place only: every folder's blocks, their lengths, checksums and files; and twins in which
an unsigned length or a folder of its own leads extractors elsewhere."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from integration.formats.test_cab_signing import sign
from kspsign.authenticode.cab import CabFile
from kspsign.authenticode.cab.blocks import blocks_finding
from kspsign.authenticode.cab.header import read_head
from kspsign.authenticode.cab.link import OBSOLETE_LINK
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import Digest
from kspsign.model.values import Finding
from support.certificates import PASSWORD, SigningFile, signing_file
from support.forging import ALGORITHM, forge
from support.formats.cab_samples import FILES, build_cab, extracted, gcab
from support.formats.peimages import patched
from support.samples import Store, kspsign

CONTENT = sum(map(len, FILES.values()))


def finding(path: Path, data: bytes) -> Finding:
    path.write_bytes(data)
    with path.open("rb") as file:
        return blocks_finding(file, read_head(file, len(data)), summed=True)


def cabinet(
    blocks: list[tuple[int, int, bytes]], files: list[int], *, reserve: int | None = None, method: int = 1
) -> bytes:
    """A cabinet of one folder with these blocks (bytes packed, bytes of content, data and its reserve) and files of
    so many bytes; all checksums are left out."""
    entries, at = b"", 0
    for number, size in enumerate(files):
        entries += struct.pack("<IIHHHH", size, at, 0, 0x5A00, 0x6000, 0x20) + f"{number}.txt\0".encode()
        at += size
    data = b"".join(struct.pack("<IHH", 0, packed, size) + content for packed, size, content in blocks)
    sizes = b"" if reserve is None else struct.pack("<HBB", 20, 0, reserve) + bytes(20)
    head = 36 + len(sizes) + 8
    fixed = struct.pack(
        *("<4sIIIIIBBHHHHH", b"MSCF", 0, head + len(entries) + len(data), 0, head, 0, 3, 1),
        *(1, len(files), 4 if sizes else 0, 7, 0),
    )
    return fixed + sizes + struct.pack("<IHH", head + len(entries), len(blocks), method) + entries + data


def checksum(data: bytes) -> int:
    """Of a block's lengths and data, by the book."""
    total = 0
    for at in range(0, len(data) - len(data) % 4, 4):
        total ^= int.from_bytes(data[at : at + 4], "little")
    return total ^ int.from_bytes(data[len(data) - len(data) % 4 :])


def summed(reserve: bytes, *, with_reserve: bool) -> bytes:
    """A stored cabinet whose only block has its checksum."""
    made = cabinet([(5, 5, reserve + b"hello")], [5], reserve=len(reserve), method=0)
    start = len(made) - 5 - len(reserve) - 8
    lengths = made[start + 4 : start + 8]
    value = checksum(b"hello") ^ checksum(lengths + (reserve if with_reserve else b""))
    return patched(made, start, struct.pack("<I", value))


WHOLE = {
    "one folder": build_cab(),
    "three folders": build_cab(folders=3),
    "a reserve in each block": build_cab(folders=2, data_reserve=9, reserve=bytes(20)),
    "a set's first": build_cab(following=(b"b.cab", b"disk 2")),
    "a set's last": build_cab(previous=(b"a.cab", b"disk 1"), number=1),
    "nothing in it": build_cab(files={}),
    "full blocks alone": cabinet([(9, 32768, b"a" * 9), (7, 32768, b"b" * 7)], [65536]),
    "a checksum without the reserve": summed(b"1234", with_reserve=False),
    "a checksum with the reserve": summed(b"1234", with_reserve=True),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_cabinets_that_are_whole(tmp_path: Path, data: bytes) -> None:
    assert finding(tmp_path / "a.cab", data).hresult is None


@pytest.mark.parametrize("options", [(), ("-z",)], ids=["stored", "compressed"])
def test_checksums_of_another_maker(tmp_path: Path, options: tuple[str, ...]) -> None:
    data = gcab(tmp_path, *options).read_bytes()
    first = struct.unpack_from("<I", data, 36)[0]
    assert struct.unpack_from("<I", data, first)[0], "gcab writes checksums"
    assert finding(tmp_path / "a.cab", data).hresult is None
    for at in (first, len(data) - 1):
        twin = finding(tmp_path / "a.cab", patched(data, at, bytes([data[at] ^ 1])))
        assert "does not match its checksum" in twin.detail
        test = subprocess.run(["cabextract", "-t", tmp_path / "a.cab"], capture_output=True, check=False)
        assert test.returncode != 0


PLAIN, THREE = build_cab(), build_cab(folders=3)
DATA = struct.unpack_from("<I", PLAIN, 36)[0]
ROOM = b"8 bytes."
BROKEN = {
    "bytes before the data": (
        patched(PLAIN[:DATA] + ROOM + PLAIN[DATA:], 8, struct.pack("<I", len(PLAIN) + 8)),
        36, DATA + 8, "belong to nothing",
    ),
    "bytes behind the data": (patched(PLAIN + ROOM, 8, struct.pack("<I", len(PLAIN) + 8)), 0, None, "the blocks from"),
    "the second folder ends early": (THREE, 36 + 8 + 4, 2, "the blocks from"),
    "the third folder begins in the second": (THREE, 36 + 16, DATA + 80_000, "the blocks from"),
    "two folders with the same data": (THREE, 36 + 16, struct.unpack_from("<I", THREE, 36)[0], "the blocks from"),
    "a file in no folder": (PLAIN, 44 + 8, 3, "in folder 3"),
    "a file of a set in a cabinet that is alone": (PLAIN, 44 + 8, 0xFFFE, "in folder 65534"),
    "more files than there are": (PLAIN, 28, 9000, "cut off"),
    "fewer files than there are": (PLAIN, 28, 1, "belong to nothing"),
    "a file behind its folder": (PLAIN, 44 + 4, CONTENT, "their files need"),
    "a block of less than 32 KiB that is not the last": (
        cabinet([(4, 100, b"aaaa"), (4, 50, b"bbbb")], [150]), 0, None, "all but the last of a folder"
    ),
    "an empty block": (cabinet([(4, 0, b"aaaa")], [0]), 0, None, "holds 0 bytes"),
    "a block of more than 32 KiB": (cabinet([(4, 40_000, b"aaaa")], [40_000]), 0, None, "holds 40000 bytes"),
    "a stored block that says two lengths": (
        cabinet([(4, 5, b"aaaa")], [5], method=0), 0, None, "4 bytes for a content of 5"
    ),
    "data that no file has": (cabinet([(4, 50, b"aaaa")], [20]), 0, None, "their files need 20"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "at", "value", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_in_one_place(
    store: Store, tmp_path: Path, data: bytes, at: int, value: int | None, words: str
) -> None:
    path = tmp_path / "a.cab"
    twin = data if value is None else patched(data, at, value.to_bytes(4 if at in {36, 44 + 4, 52} else 2, "little"))
    found = finding(path, twin)
    assert words in found.detail
    assert found.hresult is not None
    run = sign(path, store)
    assert (run.code, run.report["totals"]["signatures_used"]) == (6, 0)
    assert path.read_bytes() == twin


def test_a_wrong_checksum_costs_no_signature(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.cab"
    data = summed(b"", with_reserve=False)
    path.write_bytes(data[:-1] + b"!")
    run = sign(path, store)
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_BAD_FORMAT", 0)
    assert "checksum" in run.text
    path.write_bytes(data)
    assert sign(path, store).code == 0


def two_readings(reserve: int) -> bytes:
    """Two blocks that are whole with a reserve of 0 bytes and with one of 8, and are not the same blocks."""
    first = b"first block of the one reading"
    other = struct.pack("<IHH", 0, 40, 100)
    second = other + b"RESERVED" + b"x" * 40
    return cabinet([(len(first), 32768, first), (len(second), 100, second)], [32768, 100], reserve=reserve)


@pytest.fixture
def peer(tmp_path: Path) -> SigningFile:
    return signing_file(tmp_path)


def signed_by_peer(file: SigningFile, data: bytes, folder: Path) -> bytes:
    """The cabinet as osslsigncode signs it, which looks at no block."""
    source, target = folder / "unsigned.cab", folder / "signed.cab"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    key = ("-pkcs12", str(file.path), "-pass", PASSWORD, "-h", "sha256")
    subprocess.run(["osslsigncode", "sign", *key, "-in", source, "-out", target], check=True, capture_output=True)
    return target.read_bytes()


def test_an_unsigned_length_with_two_readings(store: Store, tmp_path: Path) -> None:
    """Signed by somebody who looks at no block."""
    path, signed = tmp_path / "a.cab", tmp_path / "signed.cab"
    path.write_bytes(two_readings(0))

    def content(digest: Digest) -> bytes:
        return indirect_data(OID_SPC_CAB_DATA, OBSOLETE_LINK, ALGORITHM, digest.values[ALGORITHM])

    forge(CabFile.open(Snapshot(path)), store, signed, content)
    for reserve in (0, 8):
        path.write_bytes(patched(signed.read_bytes(), 39, bytes([reserve])))
        run = kspsign("verify", path, "--trust-root", store.root, "--no-timestamp", folder=tmp_path)
        failed = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"] if not check["ok"]}
        assert failed.keys() == {"data-blocks"}
        assert "is not signed" in failed["data-blocks"]
        assert run.error_code == "TRUST_E_MALFORMED_SIGNATURE"


def test_what_is_signed_with_one_reading_is_verified(tmp_path: Path, peer: SigningFile) -> None:
    path, roots = tmp_path / "a.cab", ("--trust-root", peer.root, "--no-timestamp")
    path.write_bytes(signed_by_peer(peer, build_cab(folders=2), tmp_path))
    run = kspsign("verify", path, *roots, folder=tmp_path)
    assert run.code == 0, run.text
    assert len(extracted(path, tmp_path / "out")) == 2 * len(FILES)
    path.write_bytes(patched(path.read_bytes(), 39, b"\4"))
    assert kspsign("verify", path, *roots, folder=tmp_path).error_code == "TRUST_E_MALFORMED_SIGNATURE"
