"""Downloaded files compared with the reports: by path and content, so that no proved file can take another's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kspsign.model.values import Check

Shift = tuple[tuple[str, ...], tuple[str, ...]]
"""Folders in front of the paths of a report, and in front of the downloaded names, one of them empty."""


def files_check(files: Mapping[str, str], reports: Sequence[Mapping[str, str]]) -> Check:
    """The check "files": each downloaded name of `files` is in a report with the same sha256.

    A report's paths begin at the folder of the signing step, downloaded names at that of the gate: the folders in front
    may differ, but in the same way for all files of one report.
    """
    explained: set[str] = set()
    for report in reports:
        explained |= _explained(files, report)
    contents = {sha256 for report in reports for sha256 in report.values()}
    names = {path.rpartition("/")[2].casefold() for report in reports for path in report}
    bad = []
    for name in files.keys() - explained:
        if files[name] in contents:
            bad.append(f"{name} has the content of a file that was proved under another path")
        elif name.rpartition("/")[2].casefold() in names:
            bad.append(f"{name} has changed since it was proved")
        else:
            bad.append(f"{name} was proved by no build")
    return Check("files", not bad, "; ".join(sorted(bad)) or f"{len(files)} as they were proved")


def _explained(files: Mapping[str, str], report: Mapping[str, str]) -> set[str]:
    """The names that are in the report, under the shift that explains the most of them."""
    by_content: dict[str, list[str]] = {}
    for path, sha256 in report.items():
        by_content.setdefault(sha256, []).append(path)
    shifts = {name: set(_shifts(name, by_content.get(sha256, ()))) for name, sha256 in files.items()}
    counted = Counter(shift for found in shifts.values() for shift in found)
    if not counted:
        return set()
    best = min(counted, key=lambda shift: (-counted[shift], len(shift[0]) + len(shift[1]), shift))
    return {name for name, found in shifts.items() if best in found}


def _shifts(name: str, paths: Sequence[str]) -> Iterator[Shift]:
    own = _folders(name)
    for path in paths:
        other = _folders(path)
        if len(own) <= len(other) and other[len(other) - len(own) :] == own:
            yield other[: len(other) - len(own)], ()
        elif len(other) < len(own) and own[len(own) - len(other) :] == other:
            yield (), own[: len(own) - len(other)]


def _folders(path: str) -> tuple[str, ...]:
    """The parts of a path, in the case in which they compare: downloads may change it."""
    return tuple(part for part in path.casefold().replace("\\", "/").split("/") if part not in {"", "."})
