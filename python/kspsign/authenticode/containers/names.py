"""Names of entries as paths: one name means one file on Windows, macOS and Linux alike, below the container."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_SEGMENT = 2 * 255  # bytes in UTF-16, of a file or folder


def plain_path(name: str) -> str:
    """The path of an entry with slashes between folders, without "." segments; empty for the container's own folder.

    Raises ValueError for a name that leads out of the container or is none on some system. The archive's reader has
    refused empty names and those with NUL before.
    """
    path = name.replace("\\", "/")
    segments = path.split("/")
    if path.startswith("/") or _DRIVE.match(path) or ".." in segments:
        raise ValueError(f'the name "{name}" leads out of the container')
    if ":" in path:
        raise ValueError(f'"{name}" names a stream of a file on Windows')
    if any(segment != segment.rstrip(". ") for segment in segments if segment != "."):
        raise ValueError(f'Windows drops the dot or space at the end of a name in "{name}"')
    if any(len(segment.encode("utf-16-le", "surrogatepass")) > _MAX_SEGMENT for segment in segments):
        raise ValueError(f'"{name[:40]}..." is longer than a name may be')
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        raise ValueError(f"the name {name!r} holds a control character")
    return "/".join(segment for segment in segments if segment not in {"", "."})


def collision(paths: Iterable[str]) -> str | None:
    """Which two of the files' paths are one file on some system, or a file and a folder; None when no two are.

    Compared is what Windows and macOS compare: without case, composed (NFC).
    """
    known: dict[str, str] = {}
    for path in paths:
        if (other := known.setdefault(_folded(path), path)) is not path:
            return f'"{other}" and "{path}" are one file on Windows or macOS'
    for key, path in known.items():
        parent = key.rpartition("/")[0]
        while parent:
            if parent in known:
                return f'"{known[parent]}" is a file, and the folder of "{path}"'
            parent = parent.rpartition("/")[0]
    return None


def _folded(path: str) -> str:
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    )
