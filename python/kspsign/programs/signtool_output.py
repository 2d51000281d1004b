"""Parses SignTool's output: which files succeeded, and which error belongs to which file.

`SignTool Error: An error occurred while attempting to sign: FILE` follows the error it is about. An error without
such a line stopped the whole call: the files after it were not tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DONE = re.compile(r"^Successfully (?:signed|timestamped|verified): (.+)$", re.MULTILINE)
_ATTEMPT = re.compile(r"^SignTool Error: An error occurred while attempting to (?:sign|timestamp): (.+)$")
_MISSING = re.compile(r"^SignTool Error: File not found: (.+)$")
_MESSAGE = re.compile(r"^SignTool (?:Error|Warning): ")
_INFORMATION = re.compile(r'^Error information: "(?:Error: )?(.+?)" \(-?\d+/(0x[0-9a-fA-F]+)\)', re.MULTILINE)
_FILTER = re.compile(r"^After (.+) filter, (\d+) certs were left", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SignToolWords:
    """The output of one call: files that succeeded, errors by file, errors of the whole call; names as they were given.

    `dropped_by` is the filter that left no certificate, if any.
    """

    done: frozenset[str]
    by_file: dict[str, str]
    general: str
    dropped_by: str | None


def read_words(output: str, errors: str) -> SignToolWords:
    """Parse a call's standard output and standard error."""
    by_file: dict[str, str] = {}
    waiting: list[str] = []
    for message in _messages(errors):
        attempt = _ATTEMPT.match(message)
        missing = _MISSING.match(message)
        if attempt and waiting:
            by_file[attempt[1].strip()] = " ".join(waiting)
            waiting = []
        elif missing:
            by_file[missing[1].strip()] = _plain(message)
        elif attempt:
            by_file[attempt[1].strip()] = "SignTool gave no reason"
        else:
            waiting.append(_plain(message))
    waiting += [f"{text} ({code})" for text, code in _INFORMATION.findall(output)]
    dropped = next((name for name, left in _FILTER.findall(output) if left == "0"), None)
    return SignToolWords(
        done=frozenset(name.strip() for name in _DONE.findall(output)),
        by_file=by_file,
        general=" ".join(waiting),
        dropped_by=dropped,
    )


def _messages(errors: str) -> list[str]:
    """Standard error as one message each, continuation lines joined."""
    messages: list[str] = []
    for line in errors.splitlines():
        if _MESSAGE.match(line) or not messages:
            messages.append(line.strip())
        elif line.strip():
            messages[-1] += " " + line.strip()
    return [message for message in messages if message]


def _plain(message: str) -> str:
    return _MESSAGE.sub("", message).strip()
