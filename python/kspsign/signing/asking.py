"""Asking a key store for a signature, again where it says that it is too busy, and never after a lost answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kspsign.errors import CancelledError, ThrottledError
from kspsign.keys import KeyStore
from kspsign.keys.pauses import pause_before
from kspsign.model import DigestAlgorithm, RawSignature

ATTEMPTS: Final = 6
FIRST_PAUSE: Final = 1.0
"""Seconds; doubled, the pauses outlast the ten seconds in which a vault counts."""


def ask_for_signature(
    key: KeyStore, digest: bytes, algorithm: DigestAlgorithm, pause: Callable[[float], bool]
) -> RawSignature:
    """The signature of `digest`; `pause` waits that many seconds and returns true when the run was cancelled.

    Raises ThrottledError when the store stays too busy or asks to wait too long, SigningError, CancelledError.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return key.sign(digest, algorithm)
        except ThrottledError as busy:
            seconds = pause_before(attempt, FIRST_PAUSE, busy.retry_after)
            if attempt == ATTEMPTS or seconds is None:
                raise _given_up(busy, attempt) from busy
        if pause(seconds):
            raise CancelledError
    raise AssertionError  # the last attempt returns or raises


def _given_up(busy: ThrottledError, attempts: int) -> ThrottledError:
    tried = f" (after {attempts} attempts)" if attempts > 1 else ""
    return ThrottledError(f"{busy.message}{tried}", code=busy.code, remedy=busy.remedy, retry_after=busy.retry_after)
