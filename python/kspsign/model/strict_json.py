"""JSON that every program reads in the same way."""

from __future__ import annotations

import json
from typing import Any


def strict_json(text: bytes, *, most_keys: int | None = None) -> Any:
    """JSON in UTF-8 (RFC 8259, no byte order mark) with each key of an object once, no number that JSON does not have
    and no half of a character (§8.2): other programs could read such a text differently. Objects have at most
    `most_keys` keys where that is given.

    Raises ValueError that says what is wrong.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key comes twice")
        if most_keys is not None and len(found) > most_keys:
            raise ValueError(f"an object has {len(found)} keys")
        return found

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=_no_constant)
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as deep:
        raise ValueError("its values are too deep inside each other") from deep
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")
