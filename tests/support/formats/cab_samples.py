"""Cabinets of any shape, and an independent look at what a signature covers (Microsoft "Cabinet File Format"):
nothing of ours is used here."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

FILES = {"readme.txt": b"hello, cabinet\r\n" * 90, "code.bin": hashlib.shake_128(b"code").digest(70_000)}
BLOCK = 32_768


def build_cab(  # noqa: PLR0913 - a cabinet has that many sides, and a test turns one of them
    *,
    files: dict[str, bytes] = FILES,
    folders: int = 1,
    reserve: bytes | None = None,
    folder_reserve: int = 0,
    data_reserve: int = 0,
    previous: tuple[bytes, bytes] | None = None,
    following: tuple[bytes, bytes] | None = None,
    number: int = 0,
) -> bytes:
    """An uncompressed cabinet; each folder holds the same files, named after it."""
    reserved = reserve is not None or folder_reserve or data_reserve
    sizes = struct.pack("<HBB", len(reserve or b""), folder_reserve, data_reserve) + (reserve or b"")
    names = b"".join(name + b"\0" for pair in (previous, following) for name in pair or ())
    content = b"".join(files.values())
    blocks = b""
    for at in range(0, len(content), BLOCK):
        piece = content[at : at + BLOCK]
        blocks += struct.pack("<IHH", 0, len(piece), len(piece)) + bytes(data_reserve) + piece
    entries = b""
    for folder in range(folders):
        at = 0
        for name, data in files.items():
            entries += struct.pack("<IIHHHH", len(data), at, folder, 0x5A00, 0x6000, 0x20)
            entries += f"{folder}-{name}".encode() + b"\0"
            at += len(data)
    head = 36 + (len(sizes) if reserved else 0) + len(names) + folders * (8 + folder_reserve)
    start = head + len(entries)
    table = b""
    for folder in range(folders):
        offset = start + folder * len(blocks)
        table += struct.pack("<IHH", offset, -(-len(content) // BLOCK), 0) + bytes(range(folder_reserve))
    flags = (previous is not None) | (following is not None) << 1 | bool(reserved) << 2
    total = start + folders * len(blocks)
    fixed = struct.pack(
        "<4sIIIIIBBHHHHH", b"MSCF", 0, total, 0, head, 0, 3, 1, folders, folders * len(files), flags, 7, number
    )
    return fixed + (sizes if reserved else b"") + names + table + entries + blocks * folders


def digest(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of a signed cabinet by the book (hex, upper case)."""
    (total,) = struct.unpack_from("<I", data, 8)
    (reserve,) = struct.unpack_from("<H", data, 36)
    (first,) = struct.unpack_from("<H", data, 40)
    hashed = data[:4] + data[8:36] + data[40:42] + data[44 : 44 + first] + data[40 + reserve : total]
    return hashlib.new(algorithm, hashed).hexdigest().upper()


def extracted(path: Path, folder: Path) -> dict[str, bytes]:
    """The files that cabextract brings out of the cabinet at `path`; it raises when anything is wrong with it."""
    folder.mkdir()
    subprocess.run(["cabextract", "-q", "-d", folder, path], check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listed(path: Path) -> list[str]:
    """The files that gcab lists."""
    done = subprocess.run(["gcab", "-t", path], check=True, capture_output=True, text=True)
    return done.stdout.split()


def gcab(folder: Path, *options: str) -> Path:
    """A cabinet that gcab makes of the samples."""
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    made = folder / "made.cab"
    command = ["gcab", "-c", *options, "-n", made.name, *FILES]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return made
