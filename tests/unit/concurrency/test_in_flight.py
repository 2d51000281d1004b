"""Waiting for steps under way, and no longer than asked."""

from __future__ import annotations

import threading
import time

from kspsign.concurrency.in_flight import InFlight


def test_nothing_under_way_is_not_waited_for() -> None:
    assert InFlight().settle(60)


def test_it_waits_for_every_step_and_no_longer() -> None:
    steps, inside, go = InFlight(), threading.Barrier(4), threading.Event()

    def step() -> None:
        with steps:
            inside.wait()
            go.wait()

    threads = [threading.Thread(target=step) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside.wait()
    began = time.monotonic()
    assert not steps.settle(0.05)
    assert time.monotonic() - began >= 0.05
    threading.Timer(0.05, go.set).start()
    assert steps.settle(60)
    for thread in threads:
        thread.join()
