"""The hash chain over the lines of a ledger: each line holds its number and the SHA-256 of the line before.

A line that was changed, dropped or moved breaks the chain where it was. Lines cut off at the end break nothing: they
are found by an anchor, the number and hash of a line that a report, an attachment or a person kept elsewhere. Whoever
may write the file can recompute the whole chain; that, too, is found by an anchor only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError

from kspsign.ledger.entries import GENESIS, LINES, SCHEMA, Entry, LedgerLine
from kspsign.model.plurals import count

MAX_LINE: Final = 64 << 10
"""Bytes of a line, with its line feed."""
FaultKind = Literal["changed", "dropped", "reordered", "unreadable", "torn", "cut", "forged"]


class LedgerAnchor(NamedTuple):
    """A line of a ledger that is known from elsewhere: its number (from 1; 0 for no line) and its SHA-256 in hex."""

    number: int = 0
    head: str = GENESIS


class LedgerFault(NamedTuple):
    """What is wrong with the chain, and near which line of the file (from 1)."""

    line: int
    kind: FaultKind
    message: str


def chained(after: LedgerAnchor, entry: Entry) -> tuple[bytes, LedgerAnchor]:
    """The line of `entry` that follows `after`, with its line feed, and its own anchor.

    It is ASCII, and each `#` an escape, so that a step that prints the file gives an agent no logging command.
    """
    content = {
        "schema": SCHEMA,
        "number": after.number + 1,
        "previous": after.head,
        "entry": entry.model_dump(mode="json", exclude_none=True),
    }
    line = json.dumps(content, separators=(",", ":")).replace("#", "\\u0023").encode()
    return line + b"\n", LedgerAnchor(after.number + 1, digest_of(line))


def digest_of(line: bytes) -> str:
    """What the next line calls this one (`line` without its line feed)."""
    return hashlib.sha256(line).hexdigest()


def parse_line(line: bytes) -> LedgerLine | None:
    """A line without its line feed; None for what is not one."""
    try:
        return LINES.validate_json(line) if len(line) < MAX_LINE else None
    except ValidationError:
        return None


def _is_start(text: bytes, after: LedgerAnchor) -> bool:
    """Whether `text` is what remains of the line that followed `after`, and not something else in its place."""
    frame = {"schema": SCHEMA, "number": after.number + 1, "previous": after.head, "entry": {}}
    start = json.dumps(frame, separators=(",", ":")).removesuffix("}}").encode()
    return text.startswith(start) if len(text) > len(start) else start.startswith(text) and bool(text)


class ChainReader:
    """Reads the lines of one ledger that follow `after` and checks their chain.

    `faults` and `anchor` grow while `lines` is used up.
    """

    def __init__(
        self,
        stream: Iterable[bytes],
        anchors: Iterable[LedgerAnchor] = (),
        after: LedgerAnchor = LedgerAnchor(),  # noqa: B008 - frozen
    ) -> None:
        self.faults: list[LedgerFault] = []
        self.anchor = after
        self._stream = stream
        self._anchors = {anchor.number: anchor.head for anchor in anchors if anchor.number}

    def lines(self) -> Iterator[LedgerLine]:
        """Every line that can be read; each fault is noted and the rest is read on."""
        place = 0
        for raw in self._stream:
            place += 1
            if not raw.endswith(b"\n"):
                self._fault(place, "torn", "the last line is incomplete: its writer was killed, or the file was cut")
            text = raw.removesuffix(b"\n")
            line = parse_line(text)
            expected, digest = self.anchor, digest_of(text)
            if line is None:
                if _is_start(text, expected):
                    self._fault(place, "torn", "the line was cut off: its writer was killed, or the disk was full")
                else:
                    self._fault(place, "unreadable", "the line is not a line of a ledger")
                self.anchor = LedgerAnchor(expected.number + 1, digest)
                continue
            self._compare(place, line, expected)
            self.anchor = LedgerAnchor(line.number, digest)
            if self._anchors.pop(line.number, digest) != digest:
                self._fault(place, "forged", "the line is not the one that was anchored elsewhere")
            yield line
        for number in sorted(self._anchors):
            self._fault(place, "cut", f"line {number}, which was anchored elsewhere, is missing")

    def _compare(self, place: int, line: LedgerLine, expected: LedgerAnchor) -> None:
        if line.number > expected.number + 1:
            missing = line.number - expected.number - 1
            self._fault(place, "dropped", f"{count(missing, 'line')} missing before line {line.number}")
        elif line.number <= expected.number:
            self._fault(place, "reordered", f"line {line.number} comes after line {expected.number}")
        elif line.previous != expected.head:
            self._fault(place, "changed", f"line {expected.number} is not the line that line {line.number} was after")

    def _fault(self, line: int, kind: FaultKind, message: str) -> None:
        self.faults.append(LedgerFault(line, kind, message))
