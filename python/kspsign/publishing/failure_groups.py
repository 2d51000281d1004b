"""The failures of a run grouped by cause: each cause once, with the files that it concerns and one remedy."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.sanitize import clipped, log_line

FIRST_FILES = 3
"""Files that are named with their cause; the report names all."""

_NAME_LIMIT = 200
_VARYING = r"\b[0-9A-Fa-f]{16,}\b|\d+(?:\.\d+)?"
"""What differs from file to file though the cause is the same: digests, sizes, positions, times."""


class FailureGroup(NamedTuple):
    """One cause of failures: the error of the first file, and all files that failed for it, in the report's order."""

    error: ErrorFacts
    files: tuple[FileOutcome, ...]

    @property
    def counted(self) -> str:
        """ "1 file", "40 files"."""
        return count(len(self.files), "file")

    @property
    def named(self) -> str:
        """The first files, and how many more there are, for a line of a log."""
        names = [clipped(log_line(outcome.path), _NAME_LIMIT) for outcome in self.files[:FIRST_FILES]]
        more = len(self.files) - len(names)
        return ", ".join(names) + (f" and {more} more (all in the report)" if more else "")

    @property
    def headline(self) -> str:
        """Code and cause in one line of a log."""
        return f"{wording.code_text(self.error)}: {log_line(self.error.message)}"


def group_failures(report: Report) -> list[FailureGroup]:
    """The files that failed by themselves, grouped by cause; the cause of most files first."""
    groups: dict[tuple[object, ...], list[FileOutcome]] = {}
    first: dict[tuple[object, ...], ErrorFacts] = {}
    for outcome in wording.failures(report):
        error = wording.failure_facts(outcome)
        key = (error.code, error.hresult, error.remedy, _skeleton(error.message, outcome.path))
        first.setdefault(key, error)
        groups.setdefault(key, []).append(outcome)
    made = [FailureGroup(first[key], tuple(files)) for key, files in groups.items()]
    return sorted(made, key=lambda group: -len(group.files))


def _skeleton(message: str, path: str) -> str:
    """`message` without what is different for each file: its own name, numbers and digests."""
    for name in (path, PurePosixPath(path.replace("\\", "/")).name):
        message = message.replace(name, "*") if name else message
    return re.sub(_VARYING, "#", message)
