"""A pool of workers: what one raises reaches whoever waits for results."""

from __future__ import annotations

import threading

import pytest

from kspsign.concurrency.workers import Workers


def _work(item: int) -> int:
    if item == 3:
        raise OSError(28, "No space left on device")
    return item


def test_what_a_worker_raises_is_raised_and_keeps_nobody_waiting() -> None:
    workers = Workers(_work, range(6), 6, 2, threading.Event())
    found: list[int] = []
    with pytest.raises(OSError, match="No space left"):
        found.extend(workers.results(lambda: None))


def test_every_result_is_there() -> None:
    workers = Workers(_work, range(3), 3, 2, threading.Event())
    assert sorted(workers.results(lambda: None)) == [0, 1, 2]
