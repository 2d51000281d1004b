"""A readers-writer lock: many threads share it, or one holds it exclusively."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """Shared by any number of threads at a time, or held by one alone; who waits to be alone goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._alone = False
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of threads that wait for exclusive use."""
        return self._waiting

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """With others that share."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """With no thread."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._alone and not self._sharing)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
