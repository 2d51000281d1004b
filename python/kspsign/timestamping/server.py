"""One RFC 3161 server as a client sees it: kept-alive connections, its own limiter, and its health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import urllib3

from kspsign.authenticode.cms.timestamp import TimestampQuery, check_reply, make_query
from kspsign.certificates.parse import common_name_of
from kspsign.model.errors import TrustError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.signing_facts import ServerFacts
from kspsign.model.values import DigestAlgorithm, TimestampToken
from kspsign.network.address import shown_url
from kspsign.network.exchange import Question, RedirectError, ask
from kspsign.network.failures import reason, timed_out
from kspsign.network.limiter import Limiter
from kspsign.network.load_limit import Slot
from kspsign.network.pool import Pool
from kspsign.network.retry import retry_after_seconds
from kspsign.settings.timestamp_limits import ServerLimit
from kspsign.timestamping.health import ServerHealth
from kspsign.timestamping.remedies import HTML_PAGE

MAX_REPLY = 1 << 20
TIMEOUT = urllib3.Timeout(connect=10, read=15)
DEADLINE = 45.0
"""Seconds for a whole answer, from the connection on."""
REDIRECTS = 5
HEADERS = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
TokenJudge = Callable[[bytes, bytes], None]
"""Raises TrustError for a token (DER) over a signature value with which a file would not verify."""
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_THROTTLED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class ServerFault:
    """What a server did wrong, and whether it may do better when it is asked again.

    `refused_time` is what a token states that is sound and that the judge refuses; None where there is no such token.
    """

    said: str
    transient: bool
    refused_time: datetime | None = None


class RemoteAuthority:
    """Asks the server at `url`, with the login that it may hold, for tokens that `judge` accepts (without one the
    caller judges them); safe to share between threads.

    The attribute `url` is for people: without login and query.
    """

    def __init__(
        self,
        url: str,
        limit: ServerLimit,
        cancelled: threading.Event,
        network: NetworkOptions,
        judge: TokenJudge | None,
    ) -> None:
        self.url = shown_url(url)
        self._judge = judge
        self.limiter = Limiter(limit.jobs, cancelled, limit.spacing)
        self._address = url
        self._pool = Pool(network, connections=limit.jobs, timeout=TIMEOUT, deadline=DEADLINE)
        self._lock = threading.Lock()
        self._health = ServerHealth()
        self._tokens = self._failures = 0
        self._waits_until = 0.0
        self._last_fault = ServerFault("no answer", transient=True)

    @property
    def facts(self) -> ServerFacts:
        """What it did so far, for the report."""
        return ServerFacts(self.url, self._tokens, self._failures, self.limiter.facts)

    @property
    def rests(self) -> float:
        """Seconds that it is still left alone."""
        return self._health.rests(time.monotonic())

    @property
    def asks_to_wait(self) -> float:
        """Seconds for which it has asked not to be asked again (Retry-After)."""
        return max(self._waits_until - time.monotonic(), 0.0)

    def is_well(self) -> bool:
        """Whether it is worth asking now. After a rest one caller alone hears yes, until it is known how it went."""
        with self._lock:
            return self._health.is_well(time.monotonic())

    def ask(self, signature: bytes, algorithm: DigestAlgorithm) -> TimestampToken | ServerFault:
        """A checked token over `signature`, or what went wrong. Raises CancelledError while waiting for a turn.

        A thread that waits for its turn gets the fault that others meet meanwhile.
        """
        failed = self._health.failed_in_a_row
        slot = self.limiter.enter(lambda: self._health.failed_in_a_row <= failed)
        if not slot.taken:
            return self._last_fault
        try:
            answer = self._request(signature, algorithm, slot)
        finally:
            self.limiter.leave(slot)
        self._settle(answer)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _settle(self, answer: TimestampToken | ServerFault) -> None:
        with self._lock:
            if isinstance(answer, TimestampToken):
                self._tokens += 1
                self._health.succeeded()
            else:
                self._failures += 1
                self._last_fault = answer
                self._health.failed(time.monotonic())

    def _request(self, signature: bytes, algorithm: DigestAlgorithm, slot: Slot) -> TimestampToken | ServerFault:
        query = make_query(signature, algorithm)
        again = self._health.failed_in_a_row + 1
        try:
            question = Question("POST", self._address, query.der, HEADERS)
            answer = ask(self._pool, question, limit=MAX_REPLY, attempt=again, redirects=REDIRECTS)
        except (RedirectError, ValueError) as unusable:
            slot.answered = False
            return ServerFault(reason(unusable), transient=False)
        except urllib3.exceptions.HTTPError as broken:
            slot.answered = False
            if timed_out(broken):
                slot.throttled(None)
            return ServerFault(reason(broken), transient=True)
        if answer.status != 200:
            slot.answered = False
            if answer.status in _THROTTLED:
                seconds = retry_after_seconds(answer.headers.get("retry-after"))
                slot.throttled(seconds)
                self._waits_until = time.monotonic() + (seconds or 0.0)
            return ServerFault(f"HTTP {answer.status}", transient=answer.status in _TRANSIENT)
        if len(answer.body) > MAX_REPLY:
            return ServerFault(f"an answer of more than {MAX_REPLY} bytes", transient=False)
        return self._judged(answer.body, query, signature)

    def _judged(self, reply: bytes, query: TimestampQuery, signature: bytes) -> TimestampToken | ServerFault:
        if reply.lstrip()[:1] == b"<":
            return ServerFault(HTML_PAGE, transient=False)
        try:
            token, stamp = check_reply(reply, query, signature)
        except TrustError as unusable:
            return ServerFault(f"an unusable answer: {unusable.message}", transient=False)
        try:
            if self._judge is not None:
                self._judge(token, signature)
        except TrustError as refused:
            return ServerFault(
                f"its token would not verify ({refused.message})", transient=False, refused_time=stamp.time
            )
        return TimestampToken(token, stamp.time, common_name_of(stamp.signer), stamp.digest_algorithm, self.url)
