"""Containers that hold signable files, and what Python's zipfile reads in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from support.formats.peimages import build_pe

NUSPEC = b"<package/>"
README = b"what is not signed keeps its bytes\r\n" * 40


def image(number: int, size: int = 0) -> bytes:
    """A small program that no other number gives."""
    return build_pe(overlay=b"file %d" % number + bytes(size))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive of these files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(files.items()):
            entry = zipfile.ZipInfo(name, (2001 + number, 2, 3, 4, 5, 6))
            entry.compress_type = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return target.getvalue()


def nuget(files: Mapping[str, bytes]) -> bytes:
    """An unsigned NuGet package of these files."""
    return zipped({"Contoso.nuspec": NUSPEC, "readme.txt": README, **files})


def entries(container: bytes | Path) -> dict[str, bytes]:
    """What zipfile reads in an archive."""
    with zipfile.ZipFile(container if isinstance(container, Path) else io.BytesIO(container)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def changed(container: bytes, name: str, content: bytes) -> bytes:
    """The archive packed again with other content in one entry, everything else as it was."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(container)) as old, zipfile.ZipFile(target, "w") as new:
        assert name in old.namelist()
        for entry in old.infolist():
            new.writestr(entry, content if entry.filename == name else old.read(entry))
    return target.getvalue()
