"""Many jobs with one key and several timestamp servers, under a virtual clock.

What decides is the program's own: `LoadLimit` admits requests and halves, `ServerHealth` lets servers rest,
`CircuitBreaker` ends a job, `divide` gives each its slice. The order of servers and the rounds of the timestamp client
are repeated here, since there they wait for the real clock. Services are modelled: latency, what they let through, and
when they fail.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kspsign.batch.slices import divide
from kspsign.model.errors import ThrottledError
from kspsign.model.values import Artifact, Format
from kspsign.network.load_limit import LoadLimit, Slot
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.signing.source import ATTEMPTS
from kspsign.timestamping import client
from kspsign.timestamping.health import ServerHealth

KEY_JOBS, STAMP_JOBS = 32, 64
"""The defaults of --jobs and --timestamp-jobs."""
DIGEST_SECONDS, REFUSAL_SECONDS = 0.002, 0.05
Callback = Callable[[], None]
Outage = tuple[float, float]


class Clock:
    """Virtual time in seconds: what is due is done in its order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()

    def after(self, seconds: float, callback: Callback) -> None:
        """Call back in so many seconds."""
        heapq.heappush(self._due, (self.now + max(seconds, 0.0), next(self._order), callback))

    def run(self) -> None:
        """Until nothing is due any more."""
        while self._due:
            self.now, _, callback = heapq.heappop(self._due)
            callback()


@dataclass
class Service:
    """Answers after `latency`, give or take a fifth. It lets `rate` requests a second through, in bursts of one second,
    `most` at once and `quota` in all, and answers 429 to the others, with Retry-After where `retry_after` is set (an
    hour once the quota is used up); in an outage 503 to all.

    `seen` counts requests and refusals by second.
    """

    clock: Clock
    latency: float
    rate: float = float("inf")
    most: int | None = None
    quota: int | None = None
    retry_after: float | None = None
    outages: Sequence[Outage] = ()
    seen: dict[int, list[int]] = field(default_factory=dict)
    served: int = 0
    _under_way: int = 0
    _tokens: float = -1.0
    _filled: float = 0.0

    def ask(self, answered: Callable[[bool], None]) -> None:
        """A request arrives now; `answered` hears whether it is served."""
        served = self._serves()
        counts = self.seen.setdefault(int(self.clock.now), [0, 0])
        counts[0] += 1
        counts[1] += not served
        self.served += served
        self._under_way += served
        seconds = self.latency * random.uniform(0.8, 1.2) if served else REFUSAL_SECONDS  # noqa: S311

        def answer() -> None:
            self._under_way -= served
            answered(served)

        self.clock.after(seconds, answer)

    def _serves(self) -> bool:
        if any(begin <= self.clock.now < end for begin, end in self.outages):
            return False
        if self.quota is not None and self.served >= self.quota:
            self.retry_after = 3600.0
            return False
        if self.most is not None and self._under_way >= self.most:
            return False
        burst = max(self.rate, 1.0)
        self._tokens = (
            burst if self._tokens < 0 else min(burst, self._tokens + (self.clock.now - self._filled) * self.rate)
        )
        self._filled = self.clock.now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Turns:
    """Requests that wait for their turn under a `LoadLimit`, first come, first served, as `Limiter`'s threads do."""

    def __init__(self, clock: Clock, load: LoadLimit) -> None:
        self._clock, self.load = clock, load
        self._waiting: deque[Callable[[Slot], None]] = deque()
        self._woken = False

    def enter(self, begun: Callable[[Slot], None]) -> None:
        """`begun` gets the slot when it is its turn."""
        self._waiting.append(begun)
        self._admit()

    def leave(self, slot: Slot) -> None:
        """The request is over."""
        self.load.release(slot, self._clock.now)
        self._admit()

    def _admit(self) -> None:
        pause = self.load.pause(self._clock.now)
        if pause > 0:
            if not self._woken:
                self._woken = True
                self._clock.after(pause, self._wake)
            return
        while self._waiting and self.load.free > 0:
            self._waiting.popleft()(self.load.admit(self._clock.now))

    def _wake(self) -> None:
        self._woken = False
        self._admit()


class StampServer:
    """A timestamp server as one job sees it."""

    def __init__(self, clock: Clock, service: Service) -> None:
        self.service = service
        self.turns, self.health = Turns(clock, LoadLimit(STAMP_JOBS)), ServerHealth()


class Job:
    """One of the parallel jobs: its slice of the files, its own limits, and no word of the other jobs."""

    def __init__(
        self, clock: Clock, files: int, key: Service, stamps: Sequence[Service], limit: Callable[[], LoadLimit]
    ) -> None:
        self.signed = self.failed = 0
        self.finished = 0.0
        self._clock, self._left = clock, files
        self._key, self._turns = key, Turns(clock, limit())
        self._breaker = CircuitBreaker(clock=lambda: clock.now)
        self._servers = [StampServer(clock, service) for service in stamps]
        for _ in range(min(files, KEY_JOBS + STAMP_JOBS + LOCAL_SLOTS)):
            self._next()

    def _next(self) -> None:
        if self._left:
            self._left -= 1
            self._clock.after(DIGEST_SECONDS, lambda: self._sign(1))

    def _sign(self, attempt: int) -> None:
        def begun(slot: Slot) -> None:
            if self._breaker.allows():
                self._key.ask(lambda served: answered(slot, served))
            else:
                self._clock.after(0, lambda: halted(slot))

        def halted(slot: Slot) -> None:
            slot.answered = False
            self._turns.leave(slot)
            self._end(signed=False)

        def answered(slot: Slot, served: bool) -> None:
            asked = self._key.retry_after
            slot.answered = served
            if served:
                self._breaker.record_success()
            else:
                slot.throttled(asked)
                self._breaker.record_throttled(ThrottledError("busy", code="BUSY", remedy="", retry_after=asked))
            self._turns.leave(slot)
            if served:
                self._stamp(0)
            elif attempt == ATTEMPTS or (asked or 0) > LONGEST_PAUSE:
                self._end(signed=False)
            else:
                self._sign(attempt + 1)

        self._turns.enter(begun)

    def _stamp(self, attempt: int) -> None:
        well = [server for server in self._servers if server.health.is_well(self._clock.now)]
        if well:
            self._ask(well[0], attempt, [])
        else:
            self._again(attempt)

    def _ask(self, server: StampServer, attempt: int, asked: list[StampServer]) -> None:
        def begun(slot: Slot) -> None:
            server.service.ask(lambda served: answered(slot, served))

        def answered(slot: Slot, served: bool) -> None:
            if not served:
                slot.throttled(server.service.retry_after)
            slot.answered = served
            server.turns.leave(slot)
            if served:
                server.health.succeeded()
                self._end(signed=True)
                return
            server.health.failed(self._clock.now)
            tried = [*asked, server]
            left = [other for other in self._servers if other not in tried]
            well = next((other for other in left if other.health.is_well(self._clock.now)), None)
            if well is None:
                self._again(attempt)
            else:
                self._ask(well, attempt, tried)

        server.turns.enter(begun)

    def _again(self, attempt: int) -> None:
        if attempt == client.ROUNDS:
            self._end(signed=False)
            return
        rests = min(server.health.rests(self._clock.now) for server in self._servers)
        seconds = client.FIRST_PAUSE * 2**attempt * random.uniform(1.0, 2.0)  # noqa: S311
        self._clock.after(min(max(seconds, rests), client.LONGEST_PAUSE), lambda: self._stamp(attempt + 1))

    def _end(self, *, signed: bool) -> None:
        self.signed += signed
        self.failed += not signed
        self.finished = self._clock.now
        self._next()


def simulate(
    files: int,
    jobs: int,
    key: Service,
    stamps: Sequence[Service],
    clock: Clock,
    limit: Callable[[], LoadLimit] = lambda: LoadLimit(KEY_JOBS),
) -> list[Job]:
    """All jobs begin at once and run to their end; each limits its requests to the key by a `limit` of its own."""
    artifacts = (Artifact("/x", f"{number}.dll", Format.PE, 2048 + number % 1000) for number in range(files))
    started = [Job(clock, len(names), key, stamps, limit) for names in divide(artifacts, jobs)]
    clock.run()
    return started
