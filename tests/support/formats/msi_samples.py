"""Packages of Windows Installer for tests: made by msitools, or of any shape; and what msitools reads in them."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from kspsign.authenticode.compound import CompoundFile, Storage
from kspsign.authenticode.io.snapshot import Snapshot
from support.formats.compound_builder import MSI, MSP, Folder, Zeros, write_compound
from support.samples import PeerVerdict

PACKAGE = "{1D8E3B60-42A7-4C6B-8F0E-9B7C5A3D1E22}"
QUERIES = (
    "CREATE TABLE Property (Property CHAR(72) NOT NULL, Value LONGCHAR NOT NULL PRIMARY KEY Property)",
    "INSERT INTO Property (Property, Value) VALUES ('ProductCode', '{7F3A1C52-5D0B-4A5E-9A3B-0C6A1D5E2B11}')",
    "INSERT INTO Property (Property, Value) VALUES ('ProductName', 'Sample, with everything')",
    "CREATE TABLE File (File CHAR(72) NOT NULL, FileName CHAR(255) NOT NULL PRIMARY KEY File)",
    "INSERT INTO File (File, FileName) VALUES ('one', 'one.exe')",
)


@cache
def msitools_package() -> bytes:
    """A small database that msibuild made: tables, summary information, a small and a large stream."""
    with TemporaryDirectory() as folder:
        path, small, large = (Path(folder) / name for name in ("made.msi", "small", "large"))
        small.write_bytes(b"MSCF" * 20)
        large.write_bytes(bytes(range(256)) * 40)
        options = (
            ("-s", "Sample", "Somebody", "x64;1033", PACKAGE),
            *(("-q", query) for query in QUERIES),
            ("-a", "Cabs.small", str(small)),
            ("-a", "Cabs.large", str(large)),
        )
        for option in options:
            subprocess.run(["msibuild", str(path), *option], check=True, capture_output=True)
        return path.read_bytes()


def package_of_version_4(path: Path) -> None:
    """The package of msitools with sectors of 4096 bytes, its tree otherwise the same."""
    write_compound(path, sample_tree(), major=4)


def sample_tree(**more: bytes | Zeros | Folder) -> Folder:
    """What the package of msitools contains, and `more` in its root."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.msi"
        path.write_bytes(msitools_package())
        return Folder({**tree_of(path).children, **more}, class_id=MSI)


def patch_tree(**more: bytes | Zeros | Folder) -> Folder:
    """A patch: transforms as storages, a cabinet, and `more` in its root."""
    transform = Folder(
        {"\u4840\u3f3f\u4577\u446c": b"\1\2\3" * 30, "\5SummaryInformation": bytes(500), "\u4840\u4559": b""},
        class_id=MSP,
        state=b"\1\0\0\0",
        times=bytes(range(16)),
    )
    other = Folder({"\u4840\u4216": b"other", "large": b"large" * 999}, times=b"\7" * 16)
    streams = {"\5SummaryInformation": b"info" * 100, "PCW_CAB": b"MSCF" * 9999}
    return Folder({"aTransform": transform, "#aTransform": other, **streams, **more}, class_id=MSP)


def tree_of(path: Path) -> Folder:
    """All that the compound file at `path` contains."""
    compound = CompoundFile.open(Snapshot(path))
    with path.open("rb") as file:

        def folder(storage: Storage) -> Folder:
            children: dict[str, bytes | Zeros | Folder] = {
                stream.name.decode("utf-16-le"): b"".join(compound.read(file, stream)) for stream in storage.streams
            }
            children |= {below.entry.name.decode("utf-16-le"): folder(below) for below in storage.storages}
            return Folder(children, storage.entry.class_id, storage.entry.state, storage.entry.times)

        return folder(compound.root)


def peer_digests(peer: PeerVerdict) -> list[str]:
    """The digest of the package as osslsigncode computes it, for each signature, in upper-case hex."""
    return re.findall(r"Calculated DigitalSignature\s*: ([0-9A-F]+)", peer.text)


def msitools_reads(path: Path) -> tuple[str, ...]:
    """What msiinfo shows: tables with their content, streams but for signatures, summary information."""
    tables = _msiinfo("tables", path).split()
    streams = [line for line in _msiinfo("streams", path).splitlines() if "DigitalSignature" not in line]
    contents = [_msiinfo("export", path, table) for table in tables]
    assert "Property" in tables
    return (*tables, *contents, *sorted(streams), _msiinfo("suminfo", path))


def _msiinfo(command: str, path: Path, *more: str) -> str:
    done = subprocess.run(["msiinfo", command, str(path), *more], capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode()
