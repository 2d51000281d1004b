"""How long to wait before a retry: as the service says, else twice as long each time."""

from __future__ import annotations

import email.utils
import random
from datetime import UTC, datetime

LONGEST_PAUSE = 120.0
"""A Retry-After beyond this many seconds is not waited for."""


def pause_before(again: int, first: float, retry_after: float | None) -> float | None:
    """Seconds to wait before asking for the `again`th time once more (from 1); None when the service says too long.

    Without a word of the service it is `first` seconds at first, doubled each time, and spread by chance so that
    many clients do not come back together.
    """
    if retry_after is not None:
        return retry_after if retry_after <= LONGEST_PAUSE else None
    return backoff(again, first)


def backoff(again: int, first: float) -> float:
    """The pause before asking for the `again`th time once more (from 1), without a word of the service."""
    return first * 2.0 ** (again - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter


def retry_after_seconds(text: str | None) -> float | None:
    """Seconds to wait by an answer's Retry-After: seconds or a date (RFC 9110 §10.2.3)."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = http_date(text)
    except ValueError:
        return None
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)


def http_date(text: str) -> datetime:
    """The moment of an HTTP date, which is in UTC (RFC 9110 §5.6.7). Raises ValueError for what is not one."""
    try:
        date = email.utils.parsedate_to_datetime(text)
    except OverflowError as beyond:
        raise ValueError("not a date") from beyond
    return date if date.tzinfo else date.replace(tzinfo=UTC)
