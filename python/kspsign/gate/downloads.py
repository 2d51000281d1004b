"""Downloaded files compared with the reports: by path and content, so that no verified file can be substituted for
another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kspsign.model.values import Check

Parts = tuple[str, ...]
Shift = tuple[Parts, Parts]
"""The folders in front of a path in a report, and those in front of the same file as it was downloaded."""


def files_check(files: Mapping[str, str], reports: Sequence[Mapping[str, str]]) -> Check:
    """The check "files": each downloaded name of `files` is in a report with the same sha256.

    A report's paths begin at the folder of the signing step, downloaded names at that of the gate: the folders in front
    may differ, but in the same way for all files of one report, and a name belongs to the path that is most like it.
    """
    explained: set[str] = set()
    for report in reports:
        explained |= _explained(files, report)
    contents = {sha256 for report in reports for sha256 in report.values()}
    names = {_parts(path)[-1:] for report in reports for path in report}
    bad = []
    for name in sorted(files.keys() - explained):
        if files[name] in contents:
            bad.append(f"{name} has the content of a file that was proved under another path")
        elif _parts(name)[-1:] in names:
            bad.append(f"{name} has changed since it was proved")
        else:
            bad.append(f"{name} was proved by no build")
    return Check("files", not bad, "; ".join(bad) or f"{len(files)} as they were proved")


def _explained(files: Mapping[str, str], report: Mapping[str, str]) -> set[str]:
    """The names that are in the report, under the shift that explains the most of them."""
    by_name: dict[str, list[tuple[Parts, str]]] = {}
    for path, sha256 in report.items():
        parts = _parts(path)
        by_name.setdefault(parts[-1] if parts else "", []).append((parts, sha256))
    shifts = {name: set(_shifts(_parts(name), sha256, by_name)) for name, sha256 in files.items()}
    counted = Counter(shift for found in shifts.values() for shift in found)
    if not counted:
        return set()
    best = min(counted, key=lambda shift: (-counted[shift], len(shift[0]) + len(shift[1]), shift))
    return {name for name, found in shifts.items() if best in found}


def _shifts(name: Parts, sha256: str, by_name: Mapping[str, Sequence[tuple[Parts, str]]]) -> Iterator[Shift]:
    """The shifts under which the file is one of the report's paths that are most like its name."""
    known = [(_common(name, path), path, content) for path, content in by_name.get(name[-1] if name else "", ())]
    most = max((common for common, _, _ in known), default=0)
    for common, path, content in known:
        if common == most and content == sha256:
            yield path[: len(path) - common], name[: len(name) - common]


def _common(one: Parts, other: Parts) -> int:
    """The number of equal parts at the end."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _parts(path: str) -> Parts:
    """The parts of a path, in the case in which they compare: a download may change it."""
    return tuple(part for part in path.casefold().replace("\\", "/").split("/") if part not in {"", "."})
