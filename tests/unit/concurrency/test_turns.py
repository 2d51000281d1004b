"""Turns: many share one, one has it alone, and who waits to be alone is not passed by."""

from __future__ import annotations

import threading

from kspsign.concurrency.turns import Turns

SECONDS = 10


def test_those_who_share_do_so_at_the_same_time() -> None:
    turns, all_in = Turns(), threading.Barrier(4)

    def share() -> None:
        with turns.shared():
            all_in.wait(SECONDS)

    threads = [threading.Thread(target=share) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not all_in.broken


def test_one_alone_waits_for_those_who_share_and_goes_before_those_who_come_later() -> None:
    turns, order = Turns(), list[str]()
    sharing, leave = threading.Event(), threading.Event()

    def first() -> None:
        with turns.shared():
            sharing.set()
            leave.wait(SECONDS)
            order.append("first")

    def alone() -> None:
        with turns.alone():
            order.append("alone")

    def later() -> None:
        with turns.shared():
            order.append("later")

    threads = [threading.Thread(target=work) for work in (first, alone, later)]
    threads[0].start()
    assert sharing.wait(SECONDS)
    threads[1].start()
    while not turns.waiting:
        pass
    threads[2].start()
    leave.set()
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["first", "alone", "later"]
