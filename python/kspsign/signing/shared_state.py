"""State shared by all files of a run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

from kspsign.model.errors import CancelledError
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.copies import Targets
from kspsign.signing.use_recorder import UseRecorder

LOCAL_SLOTS = (os.cpu_count() or 1) + 1
"""Files that this machine itself works on at the same time: hashes, writes, verifies."""


class LocalSlots:
    """Bounds local CPU and disk work; a thread that waits for a remote service releases its slot.

    So there may be as many files under way as the services take, while memory and processors see only a few.
    """

    def __init__(self, number: int = LOCAL_SLOTS) -> None:
        self._free = threading.BoundedSemaphore(number)

    def __enter__(self) -> None:
        """Take a slot."""
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self._free.release()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Release the slot while waiting for a remote service."""
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()


class SharedState(NamedTuple):
    """`cancelled` is set when the run shall end; `breaker` stops it before files that are not begun.

    `repeated_sizes` are the sizes in bytes that several files have: those alone may have the same content. `uses`
    records what the key is asked for.
    """

    cancelled: threading.Event
    breaker: CircuitBreaker
    slots: LocalSlots
    targets: Targets
    uses: UseRecorder
    repeated_sizes: frozenset[int] = frozenset()

    @classmethod
    def begin(cls, cancelled: threading.Event, *, fail_fast: bool = False) -> SharedState:
        """That of a run whose files are not known yet; with `fail_fast` the first that fails stops the others."""
        return cls(cancelled, CircuitBreaker(fail_fast=fail_fast), LocalSlots(), Targets(), UseRecorder())

    def check(self) -> None:
        """Raise CancelledError or HaltedError when nothing may be begun any more."""
        if self.cancelled.is_set():
            raise CancelledError
        self.breaker.check()
