"""Writes the answer as JSON, in pieces: it grows with the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Final

from kspsign.publishing.sanitize import encodable
from kspsign.reconciliation.answer import Answer
from kspsign.reconciliation.facts import LISTS, frame, items

_PIECE: Final = 500


def report_pieces(found: Answer) -> Iterator[str]:
    """The report (schema kspsign.reconciliation/1), a line for each use and signature. ASCII; each `#` is an escape, so
    that a step that prints it gives an agent no logging command."""
    head = json.dumps({name: value for name, value in frame(found).items() if name not in LISTS}, indent=1)
    yield _inert(head.removesuffix("\n}"))
    for name in LISTS:
        yield f',\n "{name}": [\n'
        lines, separator = (_line(item) for item in items(found, name)), ""
        while some := [*islice(lines, _PIECE)]:
            yield separator + _inert(",\n".join(some))
            separator = ",\n"
        yield "\n ]"
    yield "\n}\n"


def _line(item: object) -> str:
    text = json.dumps(item)
    return json.dumps(json.loads(text, object_hook=_encodable)) if "\\ud" in text else text


def _encodable(value: dict[str, object]) -> dict[str, object]:
    return {name: encodable(item) if isinstance(item, str) else item for name, item in value.items()}


def _inert(text: str) -> str:
    return text.replace("#", "\\u0023")
