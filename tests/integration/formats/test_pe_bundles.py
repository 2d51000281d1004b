"""WiX bundles (Burn): one whose engine would not find its payload once it is signed is refused, all others are not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from integration.formats.test_pe_shapes import sign
from support.formats.peimages import build_pe, parts, patched
from support.samples import Store, osslsigncode_verify

UX, ATTACHED = b"user interface container" * 20, b"attached container of payloads" * 40
FIELDS = "<II16sIIIIII"


def engine(
    *,
    containers: tuple[int, ...] = (len(UX), len(ATTACHED)),
    signature: tuple[int, int] = (0, 0),
    magic: int = 0x00F14300,
    name: bytes = b".wixburn",
    count: int | None = None,
    ux: bytes = UX,
) -> bytes:
    """A stub with its section, and the user interface's container behind it."""
    fields = (magic, 2, bytes(range(16)), 0, 0, *signature, 1, len(containers) if count is None else count)
    section = struct.pack(FIELDS, *fields) + struct.pack(f"<{len(containers)}I", *containers)
    data = build_pe(sections=(b"\xc3" * 700, section))
    data = patched(data, parts(data).section_table + 40, name)
    return patched(data, parts(data).sections[1][0] + 24, struct.pack("<I", len(data))) + ux


def reattached(signed: bytes, *, shift: int = 0) -> bytes:
    """The signed engine with its payload behind its signature, which the section names in place of the header."""
    found = parts(signed)
    place = struct.pack("<II", found.table + shift, found.table_size)
    data = patched(patched(signed, found.directory, bytes(8)), found.checksum, bytes(4))
    return patched(data, found.sections[1][0] + 32, place) + ATTACHED


@pytest.mark.parametrize("options", [(), ("--replace",), ("--dry-run",)])
def test_a_payload_that_the_engine_would_not_find(store: Store, tmp_path: Path, options: tuple[str, ...]) -> None:
    path, bundle = tmp_path / "setup.exe", engine() + ATTACHED
    path.write_bytes(bundle)
    run = sign(path, store, *options)
    assert (run.code, run.error_code) == (6, "ERROR_NOT_SUPPORTED"), run.text
    error = run.file["error"]
    assert "attached container" in error["message"]
    assert "wix burn detach" in error["remedy"]
    assert "insignia" in error["remedy"]
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == bundle


WHOLE = {
    "a detached engine": engine(),
    "no attached container": engine(containers=(len(UX),)),
    "an empty attached container": engine(containers=(len(UX), 0)) + b"overlay",
    "another program's section": engine(magic=0x12345678) + ATTACHED,
    "a section of another name": engine(name=b".wixburx") + ATTACHED,
}


@pytest.mark.parametrize("bundle", WHOLE.values(), ids=WHOLE)
def test_where_nothing_is_attached_it_is_signed(store: Store, tmp_path: Path, bundle: bytes) -> None:
    path = tmp_path / "setup.exe"
    path.write_bytes(bundle)
    assert sign(path, store).code == 0
    assert osslsigncode_verify(path, store.root).accepted


def test_detached_signed_attached_and_signed_again(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "setup.exe"
    path.write_bytes(engine())
    assert sign(path, store).code == 0
    signed_engine = path.read_bytes()
    for wrong in (reattached(signed_engine, shift=-800), reattached(signed_engine, shift=8)):
        path.write_bytes(wrong)
        assert sign(path, store).error_code == "ERROR_NOT_SUPPORTED"
    path.write_bytes(reattached(signed_engine))
    run = sign(path, store)
    assert run.code == 0, run.text
    data = path.read_bytes()
    assert osslsigncode_verify(path, store.root).accepted
    section = parts(data).sections[1][0]
    offset, size = struct.unpack_from("<II", data, section + 32)
    assert data[offset + size :].startswith(ATTACHED), "where the engine looks for it"
    assert sign(path, store, "--replace", "--no-timestamp").code == 0


def test_a_section_that_counts_more_containers_than_it_has_room_for(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "setup.exe"
    path.write_bytes(engine(count=0xFFFFFFFF) + ATTACHED)
    assert sign(path, store).code == 0
