"""Page hashes: as the book and the peer compute them, verified whenever they are there, refused when one is wrong."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.formats.test_pe_large import LIMIT_KIB, peak_of
from kspsign.authenticode.cms.oids import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe import PeFile
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.pe.page_hash_attribute import paged_image_data
from kspsign.certificates import der
from support.certificates import PASSWORD, SigningFile, signing_file
from support.forging import ALGORITHM, forge
from support.formats.peimages import build_pe, flipped, page_blob, parts, patched, with_checksum
from support.samples import Run, Store, copy_launcher, kspsign, osslsigncode_verify

BODY = hashlib.shake_128(b"code").digest(3 * 4096 + 700)
SHAPES: dict[str, dict[str, Any]] = {
    "PE32+": {"sections": (BODY, BODY[:5000])},
    "PE32, overlay": {"plus": False, "sections": (BODY,), "overlay": b"payload" * 700},
    "an empty section": {"sections": (b"", BODY)},
    "headers of one page": {"alignment": 4096, "sections": (BODY,)},
    "EFI driver": {"subsystem": 11, "sections": (BODY,)},
}
OTHERS: dict[str, tuple[dict[str, Any], int]] = {
    "sections at 64 KiB": ({"section_alignment": 0x10000, "sections": (BODY,)}, 4096),
    "sections at 512 bytes": ({"section_alignment": 0x200, "sections": (BODY,)}, 4096),
    "files at 16 bytes": ({"alignment": 16, "sections": (BODY, BODY[:33])}, 4096),
    "no sections": ({"sections": ()}, 4096),
    "Itanium": ({"machine": 0x0200, "sections": (BODY,)}, 8192),
}


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder, "--page-hashes")
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


def check(run: Run) -> str:
    """What the run's check "page-hashes" says."""
    (found,) = [check for check in run.file["verdict"]["checks"] if check["name"] == "page-hashes"]
    return str(found["detail"])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_peer_computes_the_same(store: Store, tmp_path: Path, shape: dict[str, Any]) -> None:
    path = tmp_path / "driver.sys"
    path.write_bytes(build_pe(**shape))
    run = sign(path, store)
    assert run.code == 0, run.text
    assert check(run) == "V2, SHA-256"
    assert page_blob(path.read_bytes()) in path.read_bytes()
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    assert "Calculated page hash" in peer.text
    assert "MISMATCH" not in peer.text


@pytest.mark.parametrize("shape", OTHERS.values(), ids=OTHERS)
def test_a_page_is_the_machines_whatever_sections_are_aligned_to(
    store: Store, tmp_path: Path, shape: tuple[dict[str, Any], int]
) -> None:
    """The peer takes the sections' alignment for the page; it refuses these, or computes what Windows does not."""
    path = tmp_path / "driver.sys"
    path.write_bytes(build_pe(**shape[0]))
    assert sign(path, store).code == 0
    assert page_blob(path.read_bytes(), page=shape[1]) in path.read_bytes()


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_longer_digests_keep_pages_of_sha256(store: Store, tmp_path: Path, digest: str) -> None:
    path = copy_launcher(tmp_path)
    run = sign(path, store, "--digest", digest)
    assert (run.code, check(run)) == (0, "V2, SHA-256")
    assert page_blob(path.read_bytes()) in path.read_bytes()
    assert osslsigncode_verify(path, store.root).accepted


def test_each_appended_signature_has_its_own(store: Store, tmp_path: Path) -> None:
    path = copy_launcher(tmp_path)
    sign(path, store)
    run = sign(path, store, "--append", "--digest", "sha384")
    assert (run.code, check(run)) == (0, "V2, SHA-256; V2, SHA-256")
    assert path.read_bytes().count(page_blob(path.read_bytes())) == 2
    assert osslsigncode_verify(path, store.root).accepted


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> SigningFile:
    return signing_file(tmp_path_factory.mktemp("publisher"))


@pytest.mark.parametrize(
    ("digest", "says"), [("sha1", "V1, SHA-1"), ("sha256", "V2, SHA-256"), ("sha512", "V2, SHA-256")]
)
def test_the_peers_are_verified(publisher: SigningFile, tmp_path: Path, digest: str, says: str) -> None:
    unsigned, path = copy_launcher(tmp_path), tmp_path / "signed.exe"
    key = ("-pkcs12", str(publisher.path), "-pass", PASSWORD, "-h", digest, "-ph")
    subprocess.run(["osslsigncode", "sign", *key, "-in", unsigned, "-out", path], check=True, capture_output=True)
    run = kspsign("verify", path, "--trust-root", publisher.root, "--no-timestamp", folder=tmp_path)
    failed = [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]
    assert (failed, check(run)) == (["algorithms"] if digest == "sha1" else [], says)


def test_they_are_verified_only_where_they_are(store: Store, tmp_path: Path, signed_launcher: bytes) -> None:
    path = tmp_path / "app.exe"
    path.write_bytes(signed_launcher)
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert "page-hashes" not in {check["name"] for check in run.file["verdict"]["checks"]}


CLASS_ID = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
OID_V2 = "1.3.6.1.4.1.311.2.3.2"
FORGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a digest": (lambda blob: paged_image_data(flipped(blob, 50)), "TRUST_E_BAD_DIGEST"),
    "an offset": (lambda blob: paged_image_data(flipped(blob, 36)), "TRUST_E_BAD_DIGEST"),
    "the end": (lambda blob: paged_image_data(flipped(blob, len(blob) - 36)), "TRUST_E_BAD_DIGEST"),
    "one page less": (lambda blob: paged_image_data(blob[:-36]), "TRUST_E_BAD_DIGEST"),
    "none": (lambda _: paged_image_data(b""), "TRUST_E_BAD_DIGEST"),
    "an unknown class": (
        lambda blob: paged_image_data(blob).replace(CLASS_ID, bytes(16)),
        "TRUST_E_MALFORMED_SIGNATURE",
    ),
    "an unknown version": (
        lambda blob: paged_image_data(blob).replace(der.oid(OID_V2), der.oid(OID_V2[:-1] + "7")),
        "TRUST_E_MALFORMED_SIGNATURE",
    ),
}


@pytest.mark.parametrize(("data", "code"), FORGED.values(), ids=FORGED)
def test_wrong_page_hashes_beside_a_right_digest(
    store: Store, tmp_path: Path, data: Callable[[bytes], bytes], code: str
) -> None:
    """Everything else about the signature holds; the peer refuses what we refuse."""
    path, target = tmp_path / "image.exe", tmp_path / "forged.exe"
    path.write_bytes(build_pe(sections=(BODY,)))

    def content(digest: PeDigest) -> bytes:
        return indirect_data(OID_SPC_PE_IMAGE_DATA, data(digest.pages[ALGORITHM]), ALGORITHM, digest.values[ALGORITHM])

    run = forge(PeFile.open(Snapshot(path)), store, target, content)
    failed = [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]
    assert (run.code, failed, run.error_code) == (2, ["page-hashes"], code)


def test_the_untouched_forgery_holds(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe(sections=(BODY,)))

    def content(digest: PeDigest) -> bytes:
        data = paged_image_data(digest.pages[ALGORITHM])
        return indirect_data(OID_SPC_PE_IMAGE_DATA, data, ALGORITHM, digest.values[ALGORITHM])

    assert forge(PeFile.open(Snapshot(path)), store, tmp_path / "honest.exe", content).code == 0


@pytest.mark.parametrize("region", ["headers", "section"])
def test_a_byte_of_a_page(store: Store, tmp_path: Path, region: str) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe(sections=(BODY,)))
    sign(path, store)
    data = path.read_bytes()
    offset = 2 if region == "headers" else parts(data).sections[0][0] + 5000
    path.write_bytes(with_checksum(flipped(data, offset)))
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    page = 0 if region == "headers" else parts(data).sections[0][0] + 4096
    assert run.error_code == "TRUST_E_BAD_DIGEST"
    assert check(run) == f"the page at {page} is not what was signed"


IMAGE = build_pe(sections=(BODY, BODY))
REFUSED = {
    "long headers": (build_pe(header_at=0x1F00, alignment=4096), "the headers take 12288 bytes"),
    "sections that overlap": (
        patched(IMAGE, parts(IMAGE).section_table + 60, struct.pack("<I", parts(IMAGE).sections[0][0] + 512)),
        "overlaps what precedes it",
    ),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_image_that_cant_have_them(store: Store, tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(data)
    run = sign(path, store)
    assert (run.code, run.error_code, run.report["totals"]["signatures_used"]) == (6, "ERROR_NOT_SUPPORTED", 0)
    assert reason in run.file["error"]["message"]
    assert "--page-hashes" in run.file["error"]["remedy"]
    assert path.read_bytes() == data
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    assert kspsign("sign", path, *chosen, folder=tmp_path).code == 0


def test_a_large_section_costs_no_memory(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "large.sys"
    data = build_pe(sections=(BODY,))
    size = 200 << 20
    path.write_bytes(patched(data, parts(data).section_table + 16, struct.pack("<I", size)))
    with path.open("r+b") as file:
        file.truncate(parts(data).sections[0][0] + size)
    key = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    assert peak_of("sign", path, *key, "--page-hashes") < LIMIT_KIB


def test_an_image_that_would_reach_4_gib_costs_no_signature(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "huge.exe"
    path.write_bytes(build_pe())
    with path.open("r+b") as file:
        file.truncate((4 << 30) - 4096)
    run = kspsign("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder, folder=tmp_path)
    path.unlink()
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_BAD_FORMAT", 0)
    assert "4 GiB" in run.file["error"]["message"]
