"""Many callers, few processes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kspsign.concurrency.batcher import Batcher


def test_callers_share_batches_and_get_their_own_results() -> None:
    batches: list[int] = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        batches.append(len(items))
        return [item * item for item in items]

    batcher: Batcher[int, int] = Batcher(work, size=8, processes=2)
    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(batcher.ask, range(64)))
    batcher.close()
    assert results == [number * number for number in range(64)]
    assert sum(batches) == 64
    assert max(batches) <= 8


def test_at_most_as_many_batches_at_a_time_as_processes() -> None:
    at_once, most, lock, both = [0], [0], threading.Lock(), threading.Barrier(2)

    def work(items: Sequence[int]) -> list[int | Exception]:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        both.wait(20)  # the items at hand are spread: two batches are under way together
        with lock:
            at_once[0] -= 1
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, size=100, processes=2)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(batcher.ask, range(8), timeout=30)) == list(range(8))
    batcher.close()
    assert most == [2]


def test_a_failure_goes_to_its_caller_and_a_broken_batch_to_all_of_its_callers() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        if 99 in items:
            raise OSError("the program is gone")
        return [ValueError(str(item)) if item % 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(work, size=4, processes=1)
    assert batcher.ask(2) == 2
    with pytest.raises(ValueError, match="3"):
        batcher.ask(3)
    with pytest.raises(OSError, match="gone"):
        batcher.ask(99)
    assert batcher.ask(4) == 4
    batcher.close()
