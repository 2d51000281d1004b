"""Images whose certificate table entry leads to something else than a signature: never overwritten unasked."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.formats.test_pe_shapes import sign
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe import PeFile
from kspsign.model.errors import ArtifactError
from support.formats import peimages
from support.formats.peimages import build_pe, parts, patched, with_table
from support.samples import Store, kspsign, osslsigncode_verify

IMAGE = build_pe()
BLOB = b"\x30\x82\x01\x00" + bytes(256)


def entry(blob: bytes, revision: int = 0x0200, kind: int = 2) -> bytes:
    return struct.pack("<IHH", 8 + len(blob), revision, kind) + blob + bytes(-len(blob) % 8)


def with_entry(data: bytes, offset: int, size: int) -> bytes:
    return patched(data, parts(data).directory, struct.pack("<II", offset, size))


def occupied(table: bytes, image: bytes = IMAGE) -> bytes:
    """The image with `table` at its end and in its certificate table entry."""
    return with_entry(image + table, len(image), len(table))


TABLES = {
    "a payload": (b"ZIPPED PAYLOAD OF AN INSTALLER" * 100, IMAGE),
    "a payload that begins with a length": (struct.pack("<I", 64) + b"\0" * 92, IMAGE),
    "zeros": (bytes(64), IMAGE),
    "revision 1.0": (entry(BLOB, revision=0x0100), IMAGE),
    "an X.509 certificate": (entry(BLOB, kind=1), IMAGE),
    "PKCS#1 v1.5 of UEFI": (entry(BLOB, kind=0x0EF0), build_pe(subsystem=10)),
    "a type with a GUID": (entry(BLOB, kind=0x0EF1), build_pe(subsystem=11)),
}


@pytest.mark.parametrize("options", [(), ("--append",), ("--skip-signed",), ("--dry-run",)])
@pytest.mark.parametrize(("table", "image"), TABLES.values(), ids=TABLES)
def test_nothing_readable_is_not_nothing_there(
    store: Store, tmp_path: Path, table: bytes, image: bytes, options: tuple[str, ...]
) -> None:
    path, data = tmp_path / "image.exe", occupied(table, image)
    path.write_bytes(data)
    run = sign(path, store, *options)
    assert (run.code, run.error_code) == (6, "ALREADY_SIGNED"), run.text
    assert "in the place of its signature" in run.file["error"]["message"]
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == data


@pytest.mark.parametrize(("table", "image"), TABLES.values(), ids=TABLES)
def test_replacing_is_asked_for_by_name(store: Store, tmp_path: Path, table: bytes, image: bytes) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(occupied(table, image))
    assert sign(path, store, "--replace").code == 0
    assert osslsigncode_verify(path, store.root).accepted
    assert peimages.digest(path.read_bytes()) == peimages.digest(image)
    assert parts(path.read_bytes()).table == len(image)


def test_a_signature_beside_another_kind_of_entry_is_a_signature(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(IMAGE)
    sign(path, store)
    signed = path.read_bytes()
    both = with_table(signed, entry(BLOB, kind=1) + signed[parts(signed).table :])
    path.write_bytes(both)
    run = sign(path, store)
    assert run.error_code == "ALREADY_SIGNED"
    assert path.read_bytes() == both


@pytest.fixture(scope="module")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("pe") / "image.exe"
    path.write_bytes(IMAGE)
    assert sign(path, store).code == 0
    return path.read_bytes()


def cut(signed: bytes) -> bytes:
    """As a resource editor leaves it: written anew without what follows the sections."""
    return signed[: parts(signed).table]


def cut_inside(signed: bytes) -> bytes:
    return signed[: parts(signed).table + 40]


def grown(signed: bytes) -> bytes:
    """As postject and objcopy leave it: the last section reaches over the old table."""
    found = parts(signed)
    row = found.section_table + 40 * (len(found.sections) - 1) + 16
    start, size = found.sections[-1]
    longer = size + len(signed) - found.table + -(len(signed) - found.table) % 512
    data = patched(signed, row, struct.pack("<I", longer))
    return data + bytes(start + longer - len(data))


def in_the_headers(signed: bytes) -> bytes:
    return with_entry(signed, 8, 64)


def no_size(signed: bytes) -> bytes:
    return with_entry(signed, parts(signed).table, 0)


def no_place(signed: bytes) -> bytes:
    return with_entry(signed, 0, parts(signed).table_size)


def shifted(signed: bytes) -> bytes:
    """The tool moved what follows the sections by a few bytes."""
    found = parts(signed)
    return with_entry(signed[: found.table] + b"more" + signed[found.table :], found.table + 4, found.table_size)


def into_an_overlay(signed: bytes) -> bytes:
    """The sections grew, and the entry leads into the middle of what was appended."""
    return with_entry(signed[: parts(signed).table] + b"archive!" * 400, parts(signed).table + 160, 800)


STALE = {change.__name__: change for change in (cut, cut_inside, grown, in_the_headers, no_size, no_place, shifted,
    into_an_overlay)}  # fmt: skip


@pytest.mark.parametrize("change", STALE.values(), ids=STALE)
def test_a_stale_entry_is_named_and_cleared_on_request(
    store: Store, tmp_path: Path, signed: bytes, change: Callable[[bytes], bytes]
) -> None:
    path, data = tmp_path / "image.exe", change(signed)
    path.write_bytes(data)
    for options in ((), ("--append",), ("--skip-signed",)):
        refused = sign(path, store, *options)
        assert (refused.code, refused.error_code) == (6, "ERROR_BAD_FORMAT"), refused.text
        error = refused.file["error"]
        assert "stale" in error["message"]
        assert "a tool changed it afterwards" in error["message"]
        assert "--replace" in error["remedy"]
        assert refused.report["totals"]["signatures_used"] == 0
        assert path.read_bytes() == data
    assert kspsign("verify", path, "--trust-root", store.root, folder=tmp_path).error_code == "ERROR_BAD_FORMAT"
    run = sign(path, store, "--replace")
    assert run.code == 0, run.text
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    found, after = parts(path.read_bytes()), path.read_bytes()
    assert (found.table, found.table + found.table_size) == (len(data) + -len(data) % 8, len(after))
    kept = patched(patched(data, found.checksum, bytes(4)), found.directory, bytes(8))
    assert patched(patched(after, found.checksum, bytes(4)), found.directory, bytes(8)).startswith(kept)


def test_a_dry_run_counts_the_signature_that_replaces_a_stale_entry(
    store: Store, tmp_path: Path, signed: bytes
) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(cut(signed))
    run = sign(path, store, "--replace", "--dry-run")
    assert (run.code, run.report["totals"]["signatures_needed"]) == (0, 1)
    assert path.read_bytes() == cut(signed)


def test_a_damaged_image_is_not_signed_for_that(store: Store, tmp_path: Path, signed: bytes) -> None:
    """--replace forgives the table entry, nothing else."""
    path = tmp_path / "image.exe"
    path.write_bytes(signed[: parts(signed).sections_end - 1])
    run = sign(path, store, "--replace")
    assert (run.code, run.error_code) == (6, "ERROR_BAD_FORMAT")
    assert "truncated" in run.text


def test_a_copy_for_another_engine_is_cleared(tmp_path: Path, signed: bytes) -> None:
    """SignTool takes no program with a stale entry, and its copy gets none."""
    path, copy = tmp_path / "image.exe", tmp_path / "copy.exe"
    for data in (cut(signed), signed):
        path.write_bytes(data)
        copy.write_bytes(data)
        PeFile.open_to_replace(Snapshot(path)).clear(copy)
        cleared = patched(data, parts(data).directory, bytes(8)) if data != signed else data
        assert copy.read_bytes() == cleared
    path.write_bytes(cut(signed))
    with pytest.raises(ArtifactError, match="stale"):
        PeFile.open(Snapshot(path))
