"""The progress of a run: files done, rate, time left, and what it is waiting for."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from kspsign.model.plurals import count

SPAN_SECONDS = 30.0
"""The rate is that of so many seconds: it follows a service that becomes faster or slower."""
_FIRST_SECONDS = 1.0
_SAMPLE_SECONDS = 0.25


class Progress(NamedTuple):
    """A moment of a run. `rate` is files per second, `seconds_left` an estimate; both are None while unknown.

    `waiting` are the services that files wait for, with how many of them wait.
    """

    files_done: int
    files: int
    bytes_done: int
    bytes: int
    rate: float | None = None
    seconds_left: float | None = None
    waiting: tuple[tuple[str, int], ...] = ()

    @property
    def percent(self) -> int:
        """Percentage of files done."""
        return 100 * self.files_done // self.files if self.files else 100

    @property
    def text(self) -> str:
        """In one line: "12 of 400 files, 3.1 of 96.0 MB, 4.2 files/s, 1:32 left, waiting for: key store (4)"."""
        parts = [f"{self.files_done} of {count(self.files, 'file')}"]
        if self.bytes:
            parts.append(f"{self.bytes_done / 1e6:.1f} of {self.bytes / 1e6:.1f} MB")
        if self.rate is not None:
            parts.append(f"{self.rate:.1f} files/s")
        if self.seconds_left is not None:
            parts.append(f"{int(self.seconds_left) // 60}:{int(self.seconds_left) % 60:02} left")
        if waiting := self.waiting_text:
            parts.append(f"waiting for: {waiting}")
        return ", ".join(parts)

    @property
    def waiting_text(self) -> str:
        """ "key store (4), timestamp server (1)"; empty when nothing is waited for."""
        return ", ".join(f"{name} ({number})" for name, number in self.waiting)


class Meter:
    """Counts files and bytes as they are done."""

    def __init__(self, files: int, size: int) -> None:
        self._files, self._size = files, size
        self._files_done = self._bytes_done = 0
        self._samples: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])

    def add(self, size: int) -> None:
        """One more file of `size` bytes is done."""
        self._files_done += 1
        self._bytes_done += size
        now = time.monotonic()
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self._files_done, self._bytes_done))
        while now - self._samples[0][0] > SPAN_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    def read(self, waiting: tuple[tuple[str, int], ...]) -> Progress:
        """The progress so far."""
        then, files, size = self._samples[0]
        seconds = time.monotonic() - then
        done, size_done = self._files_done - files, self._bytes_done - size
        rate = left = None
        if done and seconds >= _FIRST_SECONDS:
            rate = done / seconds
            # Whichever is further from its end: a few large files may be all that is left.
            left = (self._files - self._files_done) / rate
            if size_done:
                left = max(left, (self._size - self._bytes_done) / size_done * seconds)
        return Progress(self._files_done, self._files, self._bytes_done, self._size, rate, left, waiting)
