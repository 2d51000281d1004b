"""Downloaded files compared with the reports: by path and content, so that no verified file can be substituted for
another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kspsign.model.values import Check

Parts = tuple[str, ...]
Shift = tuple[Parts, Parts]
"""The folders in front of a path in a report, and those in front of the same file as it was downloaded."""

_NAMED = 10


class _Proved(NamedTuple):
    """A path in a report, and the sha256 that the file had."""

    path: Parts
    sha256: str


def files_check(files: Mapping[str, str], reports: Sequence[Mapping[str, str]], left_out: Sequence[str] = ()) -> Check:
    """The check "files": each downloaded name of `files` is in a report with the same sha256. `left_out` says what
    was not compared.

    A report's paths begin at the folder of the signing step, downloaded names at that of the gate: the folders in front
    may differ, but in the same way for all files of one report, and a name belongs to the path that is most like it.
    """
    explained: set[str] = set()
    for report in reports:
        explained |= _explained(files, report)
    contents = {sha256 for report in reports for sha256 in report.values()}
    names = {_folded(_parts(path)[-1:]) for report in reports for path in report}
    bad = []
    for name in sorted(files.keys() - explained):
        if files[name] in contents:
            bad.append(f"{name} has the content of a file that was proved under another path")
        elif _folded(_parts(name)[-1:]) in names:
            bad.append(f"{name} has changed since it was proved")
        else:
            bad.append(f"{name} was proved by no build")
    named = [*left_out[:_NAMED], f"{len(left_out) - _NAMED} more"] if len(left_out) > _NAMED else left_out
    return Check("files", not bad, "; ".join((*(bad or [f"{len(files)} as they were proved"]), *named)))


def _explained(files: Mapping[str, str], report: Mapping[str, str]) -> set[str]:
    """The names that are in the report, under the shift that explains the most of them."""
    known: dict[Parts, list[_Proved]] = {}
    for path, sha256 in report.items():
        parts = _parts(path)
        for end in _ends(parts):
            known.setdefault(end, []).append(_Proved(parts, sha256))
    shifts = {name: set(_shifts(_parts(name), sha256, known)) for name, sha256 in files.items()}
    counted = Counter(shift for found in shifts.values() for shift in found)
    if not counted:
        return set()
    best = min(counted, key=lambda shift: (-counted[shift], len(shift[0]) + len(shift[1]), shift))
    return {name for name, found in shifts.items() if best in found}


def _shifts(name: Parts, sha256: str, known: Mapping[Parts, Sequence[_Proved]]) -> Iterator[Shift]:
    """The shifts under which the file is one of the report's paths that are most like its name: with as many equal
    parts at the end as any, and of those with as many as any in the same case. `known` has the paths by each of their
    ends: a report may have thousands of one name."""
    folded = _folded(name)
    common = next((len(end) for end in _ends(name) if end in known), 0)
    alike = known.get(folded[len(folded) - common :], ())
    same = max((_in_same_case(name, proved.path) for proved in alike), default=0)
    for proved in alike:
        if proved.sha256 == sha256 and _in_same_case(name, proved.path) == same:
            yield _folded(proved.path)[: len(proved.path) - common], folded[: len(folded) - common]


def _in_same_case(one: Parts, other: Parts) -> int:
    return sum(mine == theirs for mine, theirs in zip(reversed(one), reversed(other), strict=False))


def _ends(parts: Parts) -> Iterator[Parts]:
    """The path as it compares, and each end of it, the longest first."""
    folded = _folded(parts)
    return (folded[at:] for at in range(len(folded)))


def _folded(parts: Parts) -> Parts:
    """The parts as they compare: a download may change their case."""
    return tuple(part.casefold() for part in parts)


def _parts(path: str) -> Parts:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in {"", "."})
