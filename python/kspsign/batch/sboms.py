"""Finds software bills of materials next to artifacts: SPDX and CycloneDX, by name and by content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kspsign.model.values import Artifact

MAX_SBOM: Final = 256 << 20
"""Bytes beyond which a file is not looked into."""
_NAMES: Final = ("*.spdx", "*.spdx.json", "*.cdx.json", "*.cdx.xml", "bom.json", "bom.xml", "*.bom.json", "*.sbom.json")
_FOLDER: Final = "_manifest"
"""Where Microsoft's sbom-tool writes."""
_KINDS: Final = (
    ("SPDX", re.compile(rb'"spdxVersion"\s*:\s*"SPDX-|^SPDXVersion:\s*SPDX-|spdx\.org/rdf/', re.MULTILINE)),
    ("CycloneDX", re.compile(rb'"bomFormat"\s*:\s*"CycloneDX"|cyclonedx\.org/schema/bom')),
)


class Sbom(NamedTuple):
    """A bill of materials: its path as it is shown, its kind, and its SHA-256 in hex."""

    name: str
    kind: str
    sha256: str


def find_sboms(artifacts: Iterable[Artifact], folder: Path) -> list[Sbom]:
    """Those in the folders of the artifacts, each once, by name; `folder` is what names are relative to. A file that
    can't be read is none."""
    folders = {artifact.path.parent for artifact in artifacts if artifact.container is None}
    artifacts_too = {artifact.real for artifact in artifacts}
    found = {}
    for path in sorted({path for place in folders for path in _candidates(place)}):
        if str(path) not in artifacts_too and (kind := _kind(path)) is not None:
            found[path] = Sbom(_shown(path, folder), *kind)
    return list(found.values())


def _candidates(place: Path) -> Iterator[Path]:
    for name in _NAMES:
        yield from place.glob(name)
    if (place / _FOLDER).is_dir():
        yield from (place / _FOLDER).rglob("*.spdx.json")


def _kind(path: Path) -> tuple[str, str] | None:
    try:
        if not path.is_file() or path.stat().st_size > MAX_SBOM:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    kind = next((name for name, mark in _KINDS if mark.search(content)), None)
    return None if kind is None else (kind, hashlib.sha256(content).hexdigest())


def _shown(path: Path, folder: Path) -> str:
    real = folder.resolve()
    return path.relative_to(real).as_posix() if path.is_relative_to(real) else path.as_posix()
