"""The files that a command line names, with wildcards as SignTool expands them.

`*` and `?` count in the last part of a name alone and mean files, not folders; `*.*` is every file, as in Windows.
Elsewhere than on Windows a backslash separates folders too, unless a file has that very name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kspsign.batch.select import named_artifacts, shown_name
from kspsign.model.values import Artifact
from kspsign.publishing.sanitize import visible

_WILDCARDS = re.compile(r"[*?]")
_SEPARATORS = re.compile(r"[\\/]")


class NamedFile(NamedTuple):
    """One file as SignTool shows it, nothing hidden; `path` is None where there is none of that name."""

    shown: str
    path: Path | None


class NamedFiles(NamedTuple):
    """The files of a call in their order; `by_shown` has the artifact of each, without those that are missing."""

    all: tuple[NamedFile, ...]
    artifacts: tuple[Artifact, ...]
    by_shown: Mapping[str, Artifact]


def find_targets(names: Iterable[str]) -> NamedFiles:
    """The files that `names` mean in the working folder, each artifact once."""
    found = tuple(target for name in names for target in _expanded(name))
    paths = [target.path for target in found if target.path is not None]
    artifacts = named_artifacts(paths, Path())
    by_name = {name: artifact for artifact in artifacts for name in artifact.names}
    by_shown = {target.shown: by_name[shown_name(target.path, Path())] for target in found if target.path is not None}
    return NamedFiles(found, artifacts, by_shown)


def _expanded(name: str) -> Iterator[NamedFile]:
    if Path(name).is_file():
        yield NamedFile(visible(name), Path(name))
        return
    split = max((match.end() for match in _SEPARATORS.finditer(name)), default=0)
    folder, last = name[:split], name[split:]
    if not _WILDCARDS.search(last):
        path = native_path(name)
        yield NamedFile(visible(name), path if path.is_file() else None)
        return
    matched = [entry for entry in _files(native_path(folder)) if _matches(last, entry)]
    for entry in matched:
        yield NamedFile(visible(folder + entry), native_path(folder) / entry)
    if not matched:
        yield NamedFile(visible(name), None)


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as scan:
            return sorted(entry.name for entry in scan if entry.is_file())
    except OSError:
        return []


def _matches(wanted: str, name: str) -> bool:
    """As FindFirstFile does, in the system's own view of case."""
    pattern = "*" if wanted == "*.*" else os.path.normcase(wanted)
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(parts), os.path.normcase(name), re.DOTALL) is not None


def native_path(name: str) -> Path:
    """The path of a name as it was written, folders separated by either slash."""
    if Path(name).exists():
        return Path(name)
    return Path(name if os.name == "nt" else name.replace("\\", "/"))
