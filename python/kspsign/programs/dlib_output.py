"""Parses what the dlib of Azure Artifact Signing prints inside SignTool's output, file by file.

Of each file that gets as far as its signature:

    Submitting digest for signing...
    OperationId 65385c73-...: InProgress
    Signing completed with status 'Succeeded' in 1.98s

or in the place of the last two an exception of .NET. Then SignTool goes on: `Successfully signed: FILE`, or its error
on standard error, which does not say after which of these lines it came. Files are signed in the order of the command
line, and a file that SignTool refuses by itself has no such lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_BEGIN: Final = "Submitting digest for signing..."
_OPERATION = re.compile(r"^OperationId ([0-9A-Za-z-]{1,100}): ", re.MULTILINE)
_DONE = re.compile(r"^Successfully signed: (.+)$", re.MULTILINE)


class DlibWords(NamedTuple):
    """What the dlib printed about one file, and the operation that was begun for it: then the signature is paid for."""

    text: str
    operation: str | None

    @classmethod
    def of(cls, text: str) -> DlibWords:
        """Of the lines after `_BEGIN`."""
        found = _OPERATION.search(text)
        return cls(text.strip(), found[1] if found else None)


def read_dlib(output: str, names: Sequence[str]) -> Mapping[str, DlibWords]:
    """By file, for the files `names` in the order of the command line. Empty where there was no dlib.

    Where a failed file can't be told from its neighbours, whose lines are as many as can't be theirs, each of them has
    the text of all, and the last operation.
    """
    found: dict[str, DlibWords] = {}
    waiting: list[str] = []
    rest = list(names)
    for section in output.split(_BEGIN)[1:]:
        done = _DONE.search(section)
        if done is None or done[1].strip() not in rest:
            waiting.append(section)
            continue
        name = done[1].strip()
        at = rest.index(name)
        found |= _unsuccessful(waiting, rest[:at])
        found[name] = DlibWords.of(section[: done.start()])
        waiting, rest = [], rest[at + 1 :]
    return {**found, **_unsuccessful(waiting, rest)}


def _unsuccessful(sections: Sequence[str], names: Sequence[str]) -> dict[str, DlibWords]:
    """The sections of files of which none was signed."""
    if len(sections) == len(names):
        return {name: DlibWords.of(section) for name, section in zip(names, sections, strict=True)}
    if not sections:
        return {}
    words = [DlibWords.of(section) for section in sections]
    operation = next((one.operation for one in reversed(words) if one.operation), None)
    return dict.fromkeys(names, DlibWords("\n".join(one.text for one in words), operation))
