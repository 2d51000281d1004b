"""How many calls of a signing program run side by side, and how many files each gets."""

from __future__ import annotations

import threading
from typing import Final

from kspsign.concurrency.batcher import BatchShare

PROCESSES: Final = 4
"""Calls side by side unless --jobs says otherwise; each signs its files one after the other."""
MOST_PROCESSES: Final = 16
BATCH: Final = 16
MAX_IN_FLIGHT: Final = 256
_FIRST_BATCH: Final = 4
_SLOW_SECONDS: Final = 0.5


class ToolPace:
    """The share of the next call; safe to share between threads.

    Where the key store takes its time over each signature, more calls at once save it: twice as many after as many
    calls as there are at once. Where signatures are fast, more calls only start the program more often. The first calls
    get few files and show which it is. A key store that refuses a file for a while gets no more calls than at the start
    from then on. `jobs` fixes the number of calls.
    """

    def __init__(self, jobs: int | None) -> None:
        self._lock = threading.Lock()
        self._is_fixed = jobs is not None
        self._strained = False
        self._slow_calls = 0
        processes = PROCESSES if jobs is None else jobs
        size = max(1, min(BATCH, MAX_IN_FLIGHT // processes))
        self._share = BatchShare(size, processes)

    @property
    def first(self) -> BatchShare:
        """The share while nothing is known of the key store."""
        return self._share if self._is_fixed else BatchShare(_FIRST_BATCH, PROCESSES)

    @property
    def concurrency(self) -> int:
        """Files that are to be in the calls' hands or waiting for them at once."""
        return self._share.size * self._share.processes

    def after(self, files: int, seconds: float, *, strained: bool) -> BatchShare:
        """The share of the next calls, once one signed `files` files in `seconds`; `strained` where the key store
        refused one for a while."""
        with self._lock:
            self._strained = self._strained or strained
            if not self._is_fixed:
                is_slow = seconds / files >= _SLOW_SECONDS
                processes = self._processes(is_slow=is_slow)
                # While the number of calls grows, files are left for those to come.
                grows = is_slow and not self._strained and processes < MOST_PROCESSES
                self._share = BatchShare(_FIRST_BATCH if grows else BATCH, processes)
            return self._share

    def _processes(self, *, is_slow: bool) -> int:
        """How many calls there are to be at once after one that was slow or not."""
        if self._strained or not is_slow:
            self._slow_calls = 0
            return PROCESSES
        self._slow_calls += 1
        if self._slow_calls < self._share.processes:
            return self._share.processes
        self._slow_calls = 0
        return min(2 * self._share.processes, MOST_PROCESSES)
