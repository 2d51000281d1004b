"""Values of a record: texts, times, digests and objects, each checked."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError

DIGEST_BYTES: Final = frozenset({20, 32, 48, 64})
"""SHA-1 to SHA-512."""
SUCCESS: Final = frozenset({"success", "succeeded", "successful", "ok", "completed", "signed", "true"})
FAILURE: Final = frozenset(
    {"failure", "failed", "fail", "error", "denied", "refused", "forbidden", "unauthorized", "rejected", "false"}
)
_HTTP_SUCCESS: Final = re.compile("2[0-9]{2}")
_HTTP_FAILURE: Final = re.compile("[345][0-9]{2}")
_LONGEST: Final = 1024
"""Characters of a text that are kept: a caller may write as many as it likes into some of them."""
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
_PORTAL_TIME: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}),? (\d{1,2}):(\d{2}):(\d{2})(\.\d+)? ?([AP]M)?")


def text(fields: Mapping[str, Any], *names: str) -> str:
    """The first of the fields `names` that has a value, as text; "" for none. Lists and objects are not values."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            if value:
                return value[:_LONGEST]
        elif isinstance(value, (int, float)):
            return str(value)
    return ""


def section(fields: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object in the first of the fields `names`, which may be written as a JSON text; {} for none."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                continue
        if isinstance(value, Mapping):
            return value
    return {}


def moment(written: str) -> float:
    """The time that is written in ISO 8601 (UTC where it names no zone), or as Azure's portal exports it in UTC.

    Raises UnreadableRecordError.
    """
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        found = _portal_time(written)
    seconds = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds < _LATEST:
        raise UnreadableRecordError(f"its time is not one: {written[:60]!r}")
    return seconds


def _portal_time(written: str) -> datetime:
    parts = _PORTAL_TIME.fullmatch(written.strip())
    if parts is None:
        raise UnreadableRecordError(f"its time is not one: {written[:60]!r}")
    month, day, year, hour, minute, second = (int(part) for part in parts.groups()[:6])
    if parts[8]:
        hour = hour % 12 + (12 if parts[8] == "PM" else 0)
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as impossible:
        raise UnreadableRecordError(f"its time is not one: {written[:60]!r}") from impossible
    return whole.replace(microsecond=int(f"{parts[7] or '.0'}000000"[1:7]))


def digest(written: str) -> bytes | None:
    """A digest in hex or base64, which are distinguished by their length; None for "".

    Raises UnreadableRecordError for anything else.
    """
    if not written:
        return None
    bare = written.strip()
    value = _hex(bare) if len(bare) // 2 in DIGEST_BYTES else None
    if value is None:
        try:
            value = base64.b64decode(bare, validate=True)
        except (ValueError, binascii.Error) as neither:
            raise UnreadableRecordError(f"its digest is not one: {bare[:60]!r}") from neither
    if len(value) not in DIGEST_BYTES:
        raise UnreadableRecordError(f"its digest is not one: {bare[:60]!r}")
    return value


def _hex(bare: str) -> bytes | None:
    try:
        return bytes.fromhex(bare)
    except ValueError:
        return None


def succeeded(result: str) -> bool:
    """Whether the result is a success. Raises UnreadableRecordError for a word that is neither that nor a failure."""
    word = result.strip().lower()
    if word in SUCCESS or _HTTP_SUCCESS.fullmatch(word):
        return True
    if word in FAILURE or _HTTP_FAILURE.fullmatch(word):
        return False
    raise UnreadableRecordError(f"its result is neither a success nor a failure: {result[:60]!r}")
