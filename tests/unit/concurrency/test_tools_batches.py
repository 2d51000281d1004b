"""Many callers, few processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kspsign.concurrency.batcher import Batcher, BatchShare
from kspsign.model.errors import CancelledError


def test_callers_share_batches_and_get_their_own_results() -> None:
    batches: list[int] = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        batches.append(len(items))
        return [item * item for item in items]

    batcher: Batcher[int, int] = Batcher(work, BatchShare(8, 2))
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

    batcher: Batcher[int, int] = Batcher(work, BatchShare(100, 2))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(batcher.ask, range(8), timeout=30)) == list(range(8))
    batcher.close()
    assert most == [2]


def test_a_failure_goes_to_its_caller_and_a_broken_batch_to_all_of_its_callers() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        if 99 in items:
            raise OSError("the program is gone")
        return [ValueError(str(item)) if item % 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(work, BatchShare(4, 1))
    assert batcher.ask(2) == 2
    with pytest.raises(ValueError, match="3"):
        batcher.ask(3)
    with pytest.raises(OSError, match="gone"):
        batcher.ask(99)
    assert batcher.ask(4) == 4
    batcher.close()


@pytest.mark.parametrize(
    ("share", "waiting", "busy", "taken"),
    [
        (BatchShare(16, 4), 64, 0, 16),
        (BatchShare(16, 4), 9, 0, 3),
        (BatchShare(16, 4), 9, 3, 9),
        (BatchShare(16, 4, least=8), 9, 0, 8),
        (BatchShare(16, 4, least=8), 3, 0, 8),
        (BatchShare(2, 4, least=8), 64, 0, 2),
        (BatchShare(16, 4), 5, 6, 5),
    ],
)
def test_a_batch_gets_its_share_of_what_waits(share: BatchShare, waiting: int, busy: int, taken: int) -> None:
    assert share.of(waiting, busy) == taken


def test_another_share_holds_for_the_batches_that_follow() -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        begun.set()
        assert go_on.wait(20)
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchShare(1, 1))
    with ThreadPoolExecutor(9) as pool:
        results = [pool.submit(batcher.ask, 0)]
        assert begun.wait(20)
        assert batcher.pending == 1
        results += [pool.submit(batcher.ask, number) for number in range(1, 9)]
        batcher.set_share(BatchShare(8, 1))
        go_on.set()
        assert [result.result(20) for result in results] == list(range(9))
    batcher.close()
    assert batcher.pending == 0
    assert sizes[0] == 1
    assert len(sizes) < 9


def test_items_that_come_slowly_share_a_batch_where_batches_take_long() -> None:
    def batches(patience: float) -> int:
        sizes: list[int] = []

        def work(items: Sequence[int]) -> list[int | Exception]:
            sizes.append(len(items))
            time.sleep(0.2)
            return list(items)

        batcher: Batcher[int, int] = Batcher(work, BatchShare(8, 8, least=8), quiet=0.001, patience=patience)
        batcher.ask(0)
        with ThreadPoolExecutor(8) as pool:
            for number in range(8):
                pool.submit(batcher.ask, number)
                time.sleep(0.02)
        batcher.close()
        return len(sizes)

    assert batches(0.5) < batches(0.0)


def test_fewer_processes_hold_for_a_batch_that_is_being_gathered() -> None:
    at_once, most, lock, go_on = [0], [0], threading.Lock(), threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        assert go_on.wait(20)
        with lock:
            at_once[0] -= 1
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchShare(1, 4), quiet=0.4)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(batcher.ask, 0)]
        while not at_once[0]:
            time.sleep(0.01)
        results.append(pool.submit(batcher.ask, 1))
        time.sleep(0.02)
        batcher.set_share(BatchShare(1, 1))
        time.sleep(0.6)  # longer than the batch was to be gathered
        go_on.set()
        assert [result.result(20) for result in results] == [0, 1]
    batcher.close()
    assert most == [1]


def test_a_closed_batcher_refuses_what_comes_late() -> None:
    batcher: Batcher[int, int] = Batcher(list, BatchShare(1, 1))
    assert batcher.ask(1) == 1
    batcher.close()
    with pytest.raises(CancelledError):
        batcher.ask(2)


def test_a_batch_that_took_very_long_does_not_hold_up_the_next_one() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        time.sleep(0.05)
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchShare(8, 8), patience=1000.0)
    assert batcher.ask(0) == 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(batcher.ask, 1).result(20) == 1
    batcher.close()
