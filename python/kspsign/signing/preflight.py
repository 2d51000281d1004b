"""Whether a signature could be timestamped, found out before one is spent.

A timestamp server is asked for a token over throw-away bytes while the key store is opened and files are read. The
token is judged like those that go into files: an authority that is not trusted and a wrong clock come to light here.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.validity import CLOCK_SKEW
from kspsign.model.errors import CancelledError, KspSignError, TimestampError
from kspsign.model.values import DigestAlgorithm, TimestampToken, iso_utc
from kspsign.settings.model import Settings
from kspsign.signing.shared_state import SharedState
from kspsign.timestamping.client import TimestampClient, no_timestamp
from kspsign.timestamping.server import RemoteAuthority, ServerFault, TokenJudge

PATIENCE: Final = 0.75
"""Seconds that the first signature waits for a server's answer; then it goes ahead alone, and the others wait."""
JUDGING: Final = 0.25
"""Seconds that it waits at least from when tokens can be judged."""
NOTICEABLE: Final = timedelta(minutes=1)
"""How far this machine's clock may be off without a word."""
_LOOK_SECONDS = 0.1
_SET_CLOCK = "Set this machine's clock (NTP; virtual machines take it from their host), then run again."


class Preflight:
    """Asks each of the timestamp servers once, until one gives a token that holds. `client` asks for those of files.

    Tokens are believed once `trust` said what they are judged by. Where no server gives one that could be believed, no
    signature is spent at all. Where it is not known in time, or a server's answer is not a token, one signature at a
    time goes ahead, until one was timestamped or could not be. Where servers only can't be reached, all go ahead: what
    they obtain is not lost. Safe to share between threads.
    """

    def __init__(self, settings: Settings, urls: tuple[str, ...], shared: SharedState) -> None:
        self.client = TimestampClient(urls, settings.timestamp_limits, shared.cancelled, settings.network, self._judge)
        self.notice: str | None = None
        self._algorithm, self._shared = DigestAlgorithm(settings.timestamp_algorithm), shared
        self._trust: Future[tuple[TokenJudge, x509.Certificate]] = Future()
        self._changed = threading.Condition()
        self._begun = False
        self._waits_until = 0.0
        self._over = self._open = self._proven = self._scouting = False
        self._error: TimestampError | None = None
        self._refused: set[RemoteAuthority] = set()

    def start(self) -> None:
        """Ask, without waiting for the answer; once, however often this is called."""
        with self._changed:
            if self._begun:
                return
            self._begun = True
            self._wait_for(PATIENCE)
        threading.Thread(target=self._run, name="preflight", daemon=True).start()

    def trust(self, judge: TokenJudge, leaf: bytes) -> None:
        """Tokens are judged by `judge`, and are for signatures of the certificate `leaf` (DER)."""
        self._wait_for(JUDGING)
        self._trust.set_result((judge, parse_certificate(leaf)))

    def close(self) -> None:
        """Close the connections; who still waits for `trust` does so in vain."""
        self._trust.cancel()
        self.client.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Within the block a signature may be spent, and is to be timestamped.

        Waits until that makes sense. Raises TimestampError when it does not, HaltedError and CancelledError.
        """
        self.start()
        alone = self._enter()
        try:
            yield
        except TimestampError as error:
            self._could_not_stamp(error)
            raise
        finally:
            if alone:
                self._leave()

    def stamped(self) -> None:
        """A file's signature was timestamped: what there was to know is known."""
        if not self._proven:
            with self._changed:
                self._open = self._proven = True
                self._changed.notify_all()

    def believed(self, urls: Sequence[str]) -> tuple[str, ...]:
        """`urls`, the client's, without servers whose tokens would not verify; all of them when none is left."""
        servers = zip(dict.fromkeys(urls), self.client.servers, strict=True)
        return tuple(url for url, server in servers if server not in self._refused) or tuple(urls)

    def _enter(self) -> bool:
        """Wait; whether the caller goes ahead alone."""
        while True:
            with self._changed:
                if self._error is not None:
                    self._shared.breaker.unstampable(self._error)
                    raise self._error
                self._shared.check()
                if self._open:
                    return False
                left = self._waits_until - time.monotonic()
                if not self._scouting and (self._over or left <= 0):
                    self._scouting = True
                    return True
                self._changed.wait(_LOOK_SECONDS if self._scouting else min(left, _LOOK_SECONDS))

    def _wait_for(self, seconds: float) -> None:
        """Nobody goes ahead within the next `seconds`, if it is not known what there is to know."""
        self._waits_until = max(self._waits_until, time.monotonic() + seconds)

    def _leave(self) -> None:
        with self._changed:
            self._scouting = False
            self._changed.notify_all()

    def _could_not_stamp(self, error: TimestampError) -> None:
        """A file's signature could not be timestamped: where that will last, no further one is spent."""
        with self._changed:
            if error.lasting and not self._proven:
                self._error = self._error or error
                self._shared.breaker.unstampable(self._error)
            elif not error.lasting:
                self._open = True
            self._changed.notify_all()

    def _run(self) -> None:
        """Ask the servers; whatever the result, nothing waits for it any longer."""
        try:
            with contextlib.suppress(KspSignError):  # the run was cancelled; or what a file's own timestamp meets too
                self._ask()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _judge(self, token: bytes, signature: bytes) -> None:
        judge, _ = self._trusted()
        judge(token, signature)

    def _trusted(self) -> tuple[TokenJudge, x509.Certificate]:
        try:
            return self._trust.result()
        except FutureCancelledError as closed:
            raise CancelledError from closed

    def _ask(self) -> None:
        said: dict[RemoteAuthority, ServerFault] = {}
        for server in self.client.servers:
            begun = datetime.now(UTC)
            self._wait_for(PATIENCE)
            answer = server.ask(secrets.token_bytes(32), self._algorithm)
            if isinstance(answer, TimestampToken):
                self._believe(answer, begun)
                return
            said[server] = answer
            if answer.refused_time is not None:
                self._refused.add(server)
        times = [fault.refused_time for fault in said.values() if fault.refused_time is not None]
        with self._changed:
            if self._proven:
                return
            if len(times) == len(said):
                ahead = all(moment > datetime.now(UTC) + CLOCK_SKEW for moment in times)
                self._error = _slow_clock(said) if ahead else no_timestamp(said)
            else:
                self._open = self._open or all(fault.transient for fault in said.values())

    def _believe(self, token: TimestampToken, begun: datetime) -> None:
        """A token that holds was asked for at `begun`: what its time says of the certificate and of the clock."""
        _, leaf = self._trusted()
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if not begin <= token.time <= end:
            self._error = _outside(token, begin, end)
            return
        now = datetime.now(UTC)
        if token.time > now + NOTICEABLE or token.time < begun - NOTICEABLE:
            self.notice = f"this machine's clock says {iso_utc(now)}, the timestamp server's {iso_utc(token.time)}"
        self.stamped()


def _slow_clock(said: Mapping[RemoteAuthority, ServerFault]) -> TimestampError:
    """Every server states a time that has not come yet."""
    stated = "; ".join(
        f"{server.url}: {iso_utc(fault.refused_time)}" for server, fault in said.items() if fault.refused_time
    )
    return TimestampError(
        f"this machine's clock is slow, or the timestamp server's is fast: it says {iso_utc(datetime.now(UTC))} here, "
        f"and {stated}",
        code="TIMESTAMP_CLOCK",
        remedy=_SET_CLOCK,
        lasting=True,
    )


def _outside(token: TimestampToken, begin: datetime, end: datetime) -> TimestampError:
    return TimestampError(
        f"the timestamp server {token.server} says {iso_utc(token.time)}, when the certificate is not valid "
        f"({iso_utc(begin)} to {iso_utc(end)}); this machine's clock says {iso_utc(datetime.now(UTC))}",
        code="TIMESTAMP_CLOCK",
        remedy=_SET_CLOCK,
        lasting=True,
    )
