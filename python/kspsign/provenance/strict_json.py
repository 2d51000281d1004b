"""JSON that every program reads alike, and the error for a provenance that does not hold."""

from __future__ import annotations

import json
from typing import Any

from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult


def strict_json(text: bytes) -> Any:
    """JSON in UTF-8 (RFC 8259, no byte order mark) with each key of an object once, no number that JSON does not have
    and no half of a character (§8.2): other programs could read such a text differently. Raises TrustError."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as broken:
        raise refused(f"it is not JSON: {broken}") from broken
    return value


def refused(
    detail: str, hresult: Hresult = Hresult.TRUST_E_MALFORMED_SIGNATURE, remedy: str | None = None
) -> TrustError:
    """The error for a provenance that does not hold; without a `remedy` of its own it was changed."""
    return TrustError(
        hresult,
        f"the provenance does not hold: {detail}",
        check="provenance",
        remedy=remedy or "Use the file that the signing run wrote, unchanged, with the files that it signed.",
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found
