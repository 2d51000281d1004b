"""The limiter, driven by hand: what it lets through after answers and complaints."""

from __future__ import annotations

import itertools
import threading

import pytest

from kspsign.model.errors import CancelledError
from kspsign.network.limiter import Limiter
from kspsign.network.load_limit import PATIENCE, START, Slot


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(32, threading.Event())


def fill(limiter: Limiter) -> list[Slot]:
    """As many requests as it lets through."""
    return [limiter.enter() for _ in range(limiter.facts.in_flight)]


def round_trip(limiter: Limiter, complaints: int = 0, retry_after: float = 0.0) -> int:
    """All that it lets through is asked at once and answered, or complained of; the new limit."""
    for number, slot in enumerate(fill(limiter)):
        if number < complaints:
            slot.throttled(retry_after)
        limiter.leave(slot)
    return limiter.facts.in_flight


def test_it_starts_low_and_doubles_up_to_its_ceiling(limiter: Limiter) -> None:
    assert [limiter.facts.in_flight, *(round_trip(limiter) for _ in range(4))] == [START, 8, 16, 32, 32]
    assert Limiter(3, threading.Event()).facts.in_flight == 3


def test_what_is_not_used_does_not_grow(limiter: Limiter) -> None:
    for _ in range(100):
        limiter.leave(limiter.enter())
    assert limiter.facts.in_flight == START


def test_it_halves_once_per_round_trip_and_keeps_what_went_well(limiter: Limiter) -> None:
    round_trip(limiter)
    assert round_trip(limiter) == 16
    assert round_trip(limiter, complaints=8) == 8, "halved once, not eight times"
    assert [round_trip(limiter) for _ in range(PATIENCE - 1)] == [8] * (PATIENCE - 1), "8 is known to go well"
    assert round_trip(limiter) == 10, "more is tried only after a while"
    assert round_trip(limiter, complaints=1) == 5
    assert [round_trip(limiter) for _ in range(PATIENCE)][0:2] == [8, 8], "back at once, and not beyond"
    assert limiter.facts.throttled == 9


def test_a_limit_that_went_well_before_is_lowered_when_it_does_not_any_more(limiter: Limiter) -> None:
    for _ in range(4):
        round_trip(limiter)
    assert round_trip(limiter, complaints=32) == 16
    assert round_trip(limiter) == 24


def test_it_is_never_below_one(limiter: Limiter) -> None:
    assert [round_trip(limiter, complaints=1) for _ in range(5)] == [2, 1, 1, 1, 1]


def test_retry_after_holds_everybody_back(limiter: Limiter) -> None:
    slot = limiter.enter()
    slot.throttled(60.0)
    limiter.leave(slot)
    asked = threading.Event()
    entered = threading.Thread(target=limiter.enter, args=(lambda: not asked.is_set(),), daemon=True)
    entered.start()
    entered.join(0.2)
    assert entered.is_alive()
    assert (limiter.in_flight, limiter.waiting) == (0, 1)
    asked.set()
    entered.join(10)
    assert not entered.is_alive()


def test_a_cancelled_run_waits_for_no_turn() -> None:
    cancelled = threading.Event()
    limiter = Limiter(1, cancelled)
    with limiter.slot():
        cancelled.set()
        with pytest.raises(CancelledError), limiter.slot():
            pytest.fail("there is no turn")
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


def test_an_error_says_nothing_about_load(limiter: Limiter) -> None:
    for _ in range(START):
        with pytest.raises(ValueError, match="broken"), limiter.slot():
            raise ValueError("broken")
    assert (limiter.facts.answers, limiter.facts.in_flight) == (0, START)


def test_latency_that_grows_with_load_holds_it(limiter: Limiter) -> None:
    round_trip(limiter)
    slots = fill(limiter)
    for slot in slots:
        slot.started -= 1.0
        limiter.leave(slot)
    assert limiter.facts.in_flight == 8
    assert limiter.facts.peak == 8


def test_it_is_never_exceeded_by_many_threads() -> None:
    limiter, seen = Limiter(6, threading.Event()), []

    def ask() -> None:
        for _ in range(50):
            with limiter.slot():
                seen.append(limiter.in_flight)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(seen), limiter.facts.answers) == (1000, 1000)
    assert max(seen) <= 6


def test_requests_begin_at_least_the_spacing_apart() -> None:
    limiter, begun = Limiter(4, threading.Event(), spacing=0.05), []
    for _ in range(4):
        with limiter.slot() as slot:
            begun.append(slot.started)
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(begun))
