"""What osslsigncode says of a file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path


class PeerVerdict(StrEnum):
    """osslsigncode's answers; the values are those of verdicts.toml."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    UNSIGNED = "unsigned"
    UNREADABLE = "unreadable"


def peer_version() -> str:
    """Its version, two numbers: verdicts change with it."""
    done = subprocess.run(["osslsigncode", "--version"], stdout=subprocess.PIPE, check=True, timeout=60)
    return done.stdout.decode().split()[1].rstrip(",")


def ask_peer(files: Mapping[str, Path], roots: Path) -> dict[str, PeerVerdict]:
    """Its verdict on each file, with `roots` (PEM) for signer and timestamp and no revocation, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(files, pool.map(lambda path: _ask(path, roots), files.values()), strict=True))


def _ask(path: Path, roots: Path) -> PeerVerdict:
    command = ["osslsigncode", "verify", "-ignore-crl", "-CAfile", str(roots), "-TSA-CAfile", str(roots)]
    done = subprocess.run(
        [*command, "-in", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode == 0:  # one of several signatures is enough for that
        return PeerVerdict.REFUSES if "verification: failed" in said else PeerVerdict.ACCEPTS
    if "Initialization error or unsupported input file type" in said:
        return PeerVerdict.UNREADABLE
    return PeerVerdict.UNSIGNED if "No signature found" in said else PeerVerdict.REFUSES
