"""What other processes of this machine show to everybody of the same user: command lines and environments (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """One process: its command line and environment, NUL-separated."""

    command: bytes
    environment: bytes


def descendants(of: int | None = None) -> list[Shown]:
    """Every process below `of` (default: this one)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _read(entry / "stat").rpartition(b")")[2].split()
            if len(stat) > 1:
                parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [of or os.getpid()]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return [
        Shown(_read(Path(f"/proc/{process}/cmdline")), _read(Path(f"/proc/{process}/environ"))) for process in found
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""
