"""What the files of one run share while they are worked on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from kspsign.errors import CancelledError
from kspsign.signing.copies import Targets
from kspsign.signing.halt import Halt

DESKS = (os.cpu_count() or 1) + 1
"""Files that this machine itself works on at the same time: hashes, writes, verifies."""


class Desks:
    """Room for work of this machine. Who waits for a service gives his desk to others meanwhile.

    So there may be as many files under way as the services take, while memory and processors see only a few.
    """

    def __init__(self, number: int = DESKS) -> None:
        self._free = threading.BoundedSemaphore(number)

    def __enter__(self) -> None:
        """Take a desk."""
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        """Leave it."""
        self._free.release()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Wait for somebody else, without a desk."""
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()


@dataclass(frozen=True, slots=True)
class Workplace:
    """`cancelled` is set when the run shall end; `halt` stops it before files that are not begun.

    `repeated_sizes` are the sizes in bytes that several files have: those alone may have the same content.
    """

    cancelled: threading.Event
    repeated_sizes: frozenset[int] = frozenset()
    halt: Halt = field(default_factory=Halt)
    desks: Desks = field(default_factory=Desks)
    targets: Targets = field(default_factory=Targets)

    def check(self) -> None:
        """Raise CancelledError or HaltedError when nothing may be begun any more."""
        if self.cancelled.is_set():
            raise CancelledError
        self.halt.check()
