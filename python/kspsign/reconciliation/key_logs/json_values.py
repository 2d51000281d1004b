"""The objects of a JSON document, one after another, without ever holding the whole document.

A log comes as a list, as an object around a list (`{"records": [...]}`), or as objects one after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TextIO

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError

LISTS: Final = frozenset({"records", "Records", "Events", "events", "items", "entries", "value", "signatures"})
"""Names of the list in an object around one."""
COUNTS: Final = frozenset({"total", "offset", "limit"})
"""Names of what else an answer has around its list."""
NEXT_PAGES: Final = frozenset({"NextToken", "nextPageToken", "nextLink"})
"""Names of what an answer has that is one page of several."""
MAX_VALUE: Final = 16 << 20
"""Characters of one value."""
_AROUND: Final = LISTS | NEXT_PAGES | COUNTS
_PIECE: Final = 1 << 16
_BLANK: Final = " \t\r\n,"


class JsonObjects:
    """The objects of the document in `stream`; `place` counts them, from 1."""

    def __init__(self, stream: TextIO) -> None:
        self.place = 0
        self._stream = stream
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def __iter__(self) -> Iterator[object]:
        """Every value of the lists, or of the document. Raises UnreadableRecordError where the JSON is broken, which
        says nothing of what comes after."""
        while first := self._peek():
            if first == "[":
                yield from self._list()
            elif first == "{" and self._key_ahead() in _AROUND:
                yield from self._wrapped()
            else:
                yield self._value()

    def _list(self) -> Iterator[object]:
        self._at += 1
        while (char := self._peek()) != "]":
            if not char:
                raise UnreadableRecordError("the file ends within a list: it was cut off")
            yield self._value()
        self._at += 1

    def _wrapped(self) -> Iterator[object]:
        self._at += 1
        before, around, listed = self.place, dict[object, object](), False
        while (char := self._peek()) != "}":
            if not char:
                raise UnreadableRecordError("the file ends within an object: it was cut off")
            name = self._value(counted=False)
            if self._peek(":") == "[" and name in LISTS:
                listed = True
                yield from self._list()
            else:
                around[name] = self._value(counted=False)
        self._at += 1
        if not listed and not around.keys() <= COUNTS | NEXT_PAGES:
            self.place += 1
            yield around
            return
        hidden = next((name for name, value in around.items() if _may_hold_records(name, value)), None)
        if hidden is not None:
            raise UnreadableRecordError(f"it has more than one list, and {str(hidden)[:60]!r} is not known")
        total = around.get("total")
        if any(around.get(name) for name in NEXT_PAGES) or (isinstance(total, int) and total > self.place - before):
            raise UnreadableRecordError("it is one page of several: the others are missing")

    def _key_ahead(self) -> object:
        start = self._at
        self._at += 1
        name = self._value(counted=False) if self._peek() == '"' else None
        self._at = start
        return name

    def _value(self, *, counted: bool = True) -> object:
        self.place += counted
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except (ValueError, RecursionError) as broken:
                if len(self._text) - self._at < MAX_VALUE and self._more():
                    continue
                raise UnreadableRecordError(
                    f"its JSON is broken, and what comes after it is lost: {broken}"
                ) from broken
            self._at = end
            return value

    def _peek(self, blank: str = "") -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK + blank:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on; what was used is let go, except where it may be needed again."""
        rest = self._text[self._at :]
        piece = self._stream.read(max(_PIECE, len(rest)))
        self._text, self._at = rest + piece, 0
        return bool(piece)


def _may_hold_records(name: object, value: object) -> bool:
    return name in LISTS or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def rows_of_tables(document: Any) -> Iterator[dict[str, object]]:
    """The rows of an answer of Azure Monitor's query API: `{"tables": [{"columns": [{"name"}], "rows": [[]]}]}`.

    Raises UnreadableRecordError for another shape.
    """
    try:
        for table in document["tables"]:
            names = [str(column["name"]) for column in table["columns"]]
            for row in table["rows"]:
                yield dict(zip(names, row, strict=True))
    except (TypeError, KeyError, ValueError) as foreign:
        raise UnreadableRecordError(f"it is not an answer of Azure Monitor's query API: {foreign}") from foreign
