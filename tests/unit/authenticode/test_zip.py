"""ZIP archives: read strictly, scanned once, rewritten without touching what stays."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import CHUNK, Snapshot
from kspsign.authenticode.zip import Plan, Scan, ZipMember, archive_of, unpack
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from support.formats.zips import Part, build_zip

PARTS = (
    Part("plain.txt", b"some text"),
    Part("empty.txt", descriptor=True),
    Part("deep/packed.bin", bytes(200_000) + b"end", deflate=True, descriptor=True),
    Part("gr%C3%BC%C3%9Fe.txt", b"more text" * 50, deflate=True, extra=b"\x99\x99\x02\0ab"),
)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "some.zip"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("zip64", [False, True])
def test_one_pass_gives_every_byte_and_every_content(tmp_path: Path, zip64: bool) -> None:
    path = write(tmp_path, build_zip(PARTS, zip64=zip64))
    archive = archive_of(Snapshot(path))
    scan, raw, contents = Scan(archive), b"", dict.fromkeys((part.name for part in PARTS), b"")
    with path.open("rb") as file:
        for piece in scan.pieces(file):
            raw += piece.raw
            if piece.entry is not None:
                contents[piece.entry.name] += piece.content
        assert unpack(file, archive, archive.entries[3], 1000) == PARTS[3].data
        with pytest.raises(ArtifactError, match="the limit of 8"):
            unpack(file, archive, archive.entries[0], 8)
    assert raw == path.read_bytes()
    assert contents == {part.name: part.data for part in PARTS}
    assert scan.faults == {}
    with zipfile.ZipFile(path) as peer:
        assert {name: peer.read(name) for name in peer.namelist()} == contents


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("gone", range(4))
def test_what_stays_keeps_its_bytes_when_entries_go_and_come(tmp_path: Path, zip64: bool, gone: int) -> None:
    path, target = write(tmp_path, build_zip(PARTS, zip64=zip64)), tmp_path / "target.zip"
    archive = archive_of(Snapshot(path))
    kept = tuple(entry for entry in archive.entries if entry.number != gone)
    with target.open("wb") as file:
        Plan(archive, kept, (ZipMember("new.txt", b"new"),)).write(file)
    again = archive_of(Snapshot(target))
    before, after = path.read_bytes(), target.read_bytes()
    assert [before[entry.offset : entry.end] for entry in kept] == [
        after[entry.offset : entry.end] for entry in again.entries[:-1]
    ]
    with zipfile.ZipFile(target) as peer:
        assert peer.testzip() is None
        assert peer.namelist() == [*(entry.name for entry in kept), "new.txt"]
    with (tmp_path / "back.zip").open("wb") as file:
        Plan(again, again.entries).write(file)
    assert (tmp_path / "back.zip").read_bytes() == after


def test_a_directory_beyond_4_gib_needs_zip64(tmp_path: Path) -> None:
    archive = archive_of(Snapshot(write(tmp_path, build_zip(PARTS))))
    far = archive.entries[-1]._replace(end=5 << 30)
    tail = Plan(archive, (*archive.entries[:-1], far), (ZipMember("new.txt", b"new"),)).tail()
    record = ZipMember("new.txt", b"new").record(5 << 30)
    assert record in tail
    assert struct.unpack_from("<Q", record, len(record) - 8)[0] == 5 << 30
    *_, size, offset = struct.unpack_from("<4sQ2H2I4Q", tail, tail.index(b"PK\6\6"))
    assert (tail[-22:-18], size, offset) == (
        b"PK\5\6",
        tail.index(b"PK\6\6"),
        (5 << 30) + len(ZipMember("new.txt", b"new").raw),
    )


def test_content_that_is_not_what_the_directory_tells_is_a_fault_of_its_entry(tmp_path: Path) -> None:
    whole = build_zip(PARTS)
    for entry in archive_of(Snapshot(write(tmp_path, whole))).entries:
        if not entry.packed:
            continue
        changed = bytearray(whole)
        changed[entry.data + 1] ^= 0xFF
        archive = archive_of(Snapshot(write(tmp_path, bytes(changed))))
        scan = Scan(archive)
        with archive.snapshot.open() as file:
            assert b"".join(piece.raw for piece in scan.pieces(file)) == changed
            assert list(scan.faults) == [entry.name]
            with pytest.raises(ArtifactError, match=entry.name):
                unpack(file, archive, entry, 1 << 20)


def test_a_piece_is_never_larger_than_a_chunk(tmp_path: Path) -> None:
    path = write(tmp_path, build_zip([Part("zeros", bytes(5 * CHUNK + 3), deflate=True)]))
    archive = archive_of(Snapshot(path))
    scan = Scan(archive)
    with path.open("rb") as file:
        sizes = [len(piece.content) for piece in scan.pieces(file)]
    assert (max(sizes), sum(sizes), scan.faults) == (CHUNK, 5 * CHUNK + 3, {})


def central(data: bytes, field: int, value: int, width: str, entry: int = 0) -> bytes:
    """The archive with a field of a central directory record set."""
    at = -1
    for _ in range(entry + 1):
        at = data.index(b"PK\1\2", at + 1)
    return data[: at + field] + struct.pack(width, value) + data[at + field + struct.calcsize(width) :]


WHOLE = build_zip(PARTS)
SECOND = WHOLE.index(b"PK\3\4", 1)
GAP = build_zip([Part("a", b"12345678")]).replace(b"\x08\0\0\0" * 2, b"\x07\0\0\0" * 2)
TWINS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "cut off"),
    "cut off": (WHOLE[:-1], "does not end"),
    "bytes behind": (WHOLE + b"\0", "does not end"),
    "a comment": (build_zip(PARTS, comment=b"hidden"), "does not end"),
    "bytes in front": (b"#!/bin/sh\n" + WHOLE, "directory does not end where"),
    "bytes between": (WHOLE[:SECOND] + b"smuggled" + WHOLE[SECOND:], "directory does not end"),
    "an unknown method": (central(WHOLE, 10, 14, "<H"), "method 14"),
    "encryption": (central(WHOLE, 8, 1, "<H"), "encrypted"),
    "another name in front": (WHOLE.replace(b"plain.txt", b"Plain.txt", 1), "contradict"),
    "another size in front": (WHOLE[:18] + b"\x08" + WHOLE[19:], "contradict"),
    "a descriptor that lies": (WHOLE.replace(b"PK\7\x08\0\0\0\0\0", b"PK\7\x08\0\0\0\0\1", 1), "descriptor"),
    "an entry longer than its room": (central(WHOLE, 20, 10, "<I"), "no room"),
    "an entry shorter than its room": (GAP, "belong to no entry"),
    "overlapping entries": (central(WHOLE, 42, 0, "<I", 1), "no room"),
    "an entry that is nowhere": (central(WHOLE, 42, 0x7FFFFFFF, "<I", 3), "descriptor"),
    "nothing at the start": (central(WHOLE, 42, 1, "<I"), "does not begin"),
    "a stored entry of two sizes": (central(WHOLE, 24, 10, "<I"), "contradict"),
    "more than deflate can pack": (central(WHOLE, 24, 0x7FFFFFFF, "<I", 2), "descriptor"),
    "another disk": (central(WHOLE, 34, 1, "<H"), "another disk"),
    "a lost Zip64 number": (central(WHOLE, 24, 0xFFFFFFFF, "<I"), "Zip64"),
    "one name twice": (build_zip([*PARTS, PARTS[0]]), "twice"),
    "a way out": (build_zip([Part("../evil.dll", b"x")]), "out of the package"),
    "an absolute name": (build_zip([Part("/etc/passwd", b"x")]), "out of the package"),
    "no entry": (build_zip([]), "0 records"),
    "a wrong count": (WHOLE[:-14] + b"\7\0\7\0" + WHOLE[-10:], "declares 7"),
    "an extra field cut off": (build_zip([Part("a", b"x", extra=b"\x01\0\x08\0abc")]), "cut off"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), TWINS.values(), ids=TWINS)
def test_what_contradicts_itself_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        archive_of(Snapshot(write(tmp_path, data)))
    assert caught.value.hresult is Hresult.ERROR_BAD_FORMAT


@pytest.mark.parametrize("at", range(-98, 0))
def test_a_byte_of_the_end_records(tmp_path: Path, at: int) -> None:
    """Only the two versions of the Zip64 record say nothing of where things are."""
    data = bytearray(build_zip(PARTS, zip64=True))
    data[at] ^= 1
    path = write(tmp_path, bytes(data))
    if -86 <= at < -82:
        assert len(archive_of(Snapshot(path)).entries) == 4
        return
    with pytest.raises(ArtifactError):
        archive_of(Snapshot(path))


def _by_zipfile() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as peer:
        peer.writestr("a.txt", b"text" * 100)
        peer.writestr("bücher/ä.txt", b"", zipfile.ZIP_STORED)
        with peer.open("wide.bin", "w", force_zip64=True) as stream:
            stream.write(bytes(1000))
    return memory.getvalue()


def _by_streaming_zipfile() -> bytes:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as peer:
        peer.writestr("a.txt", b"text" * 100)
        peer.writestr("b.txt", b"")
    return pipe.data


@pytest.mark.parametrize("make", [_by_zipfile, _by_streaming_zipfile])
def test_archives_of_another_packer(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path, target = write(tmp_path, make()), tmp_path / "target.zip"
    archive = archive_of(Snapshot(path))
    with target.open("wb") as file:
        Plan(archive, archive.entries[1:], (ZipMember("new.txt", b"new"),)).write(file)
    with zipfile.ZipFile(target) as peer:
        assert peer.testzip() is None
        assert [entry.name for entry in archive.entries[1:]] == peer.namelist()[:-1]
    assert len(archive_of(Snapshot(target)).entries) == len(archive.entries)
