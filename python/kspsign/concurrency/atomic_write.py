"""Replaces a file as a whole, also while other jobs read or replace it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

_RENAME_ATTEMPTS = 50
_RENAME_PAUSE_SECONDS = 0.02


def write_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """Make `pieces` the content of `path`: readers see the old file or the new one, never a part of it.

    The content is on disk before it takes the name. Missing folders are created. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        _rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _rename(draft: Path, path: Path) -> None:
    """Rename over `path`; Windows denies it for the moment in which another job has that file open."""
    for _ in range(_RENAME_ATTEMPTS):
        try:
            draft.replace(path)
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(_RENAME_PAUSE_SECONDS)
        else:
            return
    draft.replace(path)
