"""From patterns to the list of real files, each once, typed by content."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kspsign.authenticode.formats import HEAD, TAKEN_BY_NAME, detect_format
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ConfigurationError, NoFilesMatchedError
from kspsign.model.values import COPY_PREFIX, Artifact


@dataclass(frozen=True, slots=True)
class Selection:
    """The artifacts in the order of their names, and patterns that matched nothing while others did."""

    artifacts: tuple[Artifact, ...]
    unmatched: tuple[str, ...]


def select_artifacts(patterns: Iterable[str], folder: Path) -> Selection:
    """The files that `patterns` name below `folder`.

    A pattern is a file, a folder (its files of a known format, any depth) or a glob; `!` excludes, `@FILE` reads
    patterns line by line (# comments). A file reached twice (links, another case) counts once. Files of a format
    `by_name` need a pattern that names them or ends in their extension.
    Raises NoFilesMatchedError when nothing matches or a file named outright is missing.
    """
    lines = tuple(_expand_lists(patterns, folder))
    chosen: dict[Path, Artifact] = {}
    unmatched: list[str] = []
    for pattern in lines:
        if pattern.startswith("!"):
            continue
        found = [artifact for path in _matches(pattern, folder) if (artifact := _artifact(path, pattern, folder))]
        if not found:
            unmatched.append(pattern)
        for artifact in found:
            chosen.setdefault(_identity(artifact.path), artifact)
    for pattern in lines:
        if pattern.startswith("!"):
            for path in _matches(pattern[1:], folder):
                chosen.pop(_identity(_real(path)), None)
    missing = tuple(pattern for pattern in unmatched if not glob.has_magic(pattern) and not (folder / pattern).exists())
    if missing or not chosen:
        raise NoFilesMatchedError(missing or lines, str(folder.absolute()))
    return Selection(tuple(sorted(chosen.values(), key=lambda each: each.name)), tuple(unmatched))


def _expand_lists(patterns: Iterable[str], folder: Path) -> Iterator[str]:
    for pattern in (line.strip() for each in patterns for line in each.splitlines()):
        if not pattern:
            continue
        if not pattern.startswith("@"):
            yield pattern
            continue
        listing = folder / pattern[1:]
        try:
            text = listing.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as unreadable:
            raise ConfigurationError(
                f"the list can't be read: {unreadable}",
                remedy="@FILE names a UTF-8 text file.",
                file=str(listing),
            ) from unreadable
        yield from (line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _matches(pattern: str, folder: Path) -> Iterator[Path]:
    """Files that `pattern` names. A file whose own name looks like a glob is taken literally first."""
    literal = folder / pattern
    if literal.is_file():
        yield literal
        return
    if literal.is_dir():
        pattern = f"{glob.escape(pattern)}/**/*"
    # Not Path.glob: it takes no absolute patterns.
    for name in glob.iglob(pattern, root_dir=folder, recursive=True, include_hidden=True):  # noqa: PTH207
        path = folder / name
        if path.is_file() and not path.name.startswith(COPY_PREFIX):
            yield path


def _artifact(path: Path, pattern: str, folder: Path) -> Artifact | None:
    """None for a file that the pattern does not mean: of no known format where only its folder is named, of a format
    `by_name` where neither the file nor its extension is.

    A file that can't be read is an artifact of no format: its step meets the same refusal, as that file's outcome.
    """
    real = _real(path)
    try:
        with real.open("rb", buffering=0) as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return Artifact(real, _shown(path, folder), None, 0)
    kind = detect_format(Glimpse(real, head, size))
    if kind is None and (folder / pattern).is_dir():
        return None
    if kind in TAKEN_BY_NAME and not pattern.lower().endswith(path.suffix.lower()):
        return None
    return Artifact(real, _shown(path, folder), kind, size)


def _real(path: Path) -> Path:
    """Without links. Some volumes and long paths of Windows give no final path: then the path as it is."""
    try:
        return path.resolve()
    except OSError:
        return path.absolute()


def _shown(path: Path, folder: Path) -> str:
    try:
        return path.absolute().relative_to(folder.absolute()).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _identity(path: Path) -> Path:
    return Path(os.path.normcase(path))
