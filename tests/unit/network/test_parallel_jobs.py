"""Many jobs that share one key and its timestamp servers, under a virtual clock: how near they come to what the key can
give, that none starves, and what they do in and after an outage."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from kspsign.network.load_limit import LoadLimit
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.signing.circuit_breaker import BUSY_SECONDS
from support.simulation import Clock, Job, Service, simulate

FOREVER = 1e9
JOBS, RATE = 16, 100.0


@pytest.fixture(autouse=True)
def _same_chances() -> Iterator[None]:
    before = random.getstate()
    random.seed(1)
    yield
    random.setstate(before)


def stamps(clock: Clock, *, number: int = 3) -> list[Service]:
    return [Service(clock, 0.2) for _ in range(number)]


def end_of(jobs: list[Job]) -> float:
    return max(job.finished for job in jobs)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("latency", [0.15, 1.0])
def test_together_they_get_nine_tenths_of_what_the_key_can_give(latency: float, retry_after: float | None) -> None:
    clock, files = Clock(), 20_000
    key = Service(clock, latency, RATE, retry_after=retry_after)
    jobs = simulate(files, JOBS, key, stamps(clock), clock)
    assert sum(job.signed for job in jobs) == files == key.served
    assert end_of(jobs) <= files / RATE / 0.9
    assert min(job.finished for job in jobs) >= end_of(jobs) / 3, "a job starved"


def test_alone_one_gets_as_much_of_a_service_that_takes_eight_at_once() -> None:
    clock = Clock()
    key = Service(clock, 1.0, most=8, retry_after=1.0)
    (job,) = simulate(2000, 1, key, stamps(clock), clock)
    assert job.signed == 2000
    assert job.finished <= 2000 / 8 / 0.9


def test_without_the_limit_the_key_is_stormed() -> None:
    """The model distinguishes the two."""

    class Unlimited(LoadLimit):
        free, pause = 32, lambda *_: 0.0

    refused = []
    for limit in (lambda: LoadLimit(32), lambda: Unlimited(32)):
        clock = Clock()
        key = Service(clock, 1.0, RATE)
        simulate(5000, JOBS, key, stamps(clock), clock, limit)
        refused.append(sum(counts[1] for counts in key.seen.values()))
    assert refused[1] > 20 * refused[0]


def test_an_outage_is_survived_and_no_storm_follows_it() -> None:
    clock, files, begin, end = Clock(), 20_000, 30.0, 90.0
    key = Service(clock, 1.0, RATE, outages=[(begin, end)])
    jobs = simulate(files, JOBS, key, stamps(clock), clock)
    assert sum(job.signed for job in jobs) == files
    during = [counts[0] for second, counts in key.seen.items() if begin + 10 <= second < end]
    after = [counts[0] for second, counts in key.seen.items() if end <= second < end + 10]
    assert max(during) <= JOBS, "a service that is down is asked by each job now and then"
    assert max(after) <= RATE * 1.5


def test_an_outage_without_an_end_ends_all_jobs() -> None:
    clock = Clock()
    key = Service(clock, 1.0, RATE, outages=[(10.0, FOREVER)])
    jobs = simulate(20_000, JOBS, key, stamps(clock), clock)
    assert end_of(jobs) <= 10 + BUSY_SECONDS + LONGEST_PAUSE
    assert all(job.failed for job in jobs)


def test_a_quota_that_is_used_up_ends_all_jobs_at_once() -> None:
    clock, quota = Clock(), 3000
    key = Service(clock, 1.0, RATE, quota=quota)
    jobs = simulate(20_000, JOBS, key, stamps(clock), clock)
    asked = sum(counts[0] for second, counts in key.seen.items())
    assert sum(job.signed for job in jobs) == quota == key.served
    assert end_of(jobs) <= quota / RATE + LONGEST_PAUSE + 10
    assert asked <= 1.5 * quota


def test_timestamps_come_from_the_others_while_one_server_is_down_and_from_it_again() -> None:
    clock, files = Clock(), 10_000
    first, second, third = stamps(clock)
    first.outages = [(20.0, 50.0)]
    jobs = simulate(files, JOBS, Service(clock, 1.0, RATE), [first, second, third], clock)
    assert sum(job.signed for job in jobs) == files
    assert first.served + second.served + third.served == files
    assert second.served > 1000
    late = [counts[0] - counts[1] for moment, counts in first.seen.items() if moment > 80]
    assert sum(late) > 500
