"""The RFC 3161 client: servers in fallback order, each skipped for a while after a failure; bounded rounds, checked
responses."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence

from kspsign.model.errors import CancelledError, TimestampError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.signing_facts import ServerFacts
from kspsign.model.values import DigestAlgorithm, TimestampToken
from kspsign.settings.timestamp_limits import TimestampLimits
from kspsign.timestamping.remedies import remedy_for
from kspsign.timestamping.server import RemoteAuthority, ServerFault, TokenJudge

ROUNDS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two rounds: at least the first, doubled each time, and as long as every server rests."""
_UNREACHABLE = "Check that the agent reaches the server (proxy, firewall: plain http, port 80), or name others with \
--timestamp-url; the file was not changed."
_UNTRUSTED = "Name the authority's root with --trust-root if you trust it, or another server with --timestamp-url; the \
file was not changed."


def no_timestamp(said: Mapping[RemoteAuthority, ServerFault]) -> TimestampError:
    """The error for what each of the servers did."""
    refused = any(fault.refused_time is not None for fault in said.values())
    return TimestampError(
        "no timestamp: " + "; ".join(f"{server.url}: {fault.said}" for server, fault in said.items()),
        code="TIMESTAMP_UNAVAILABLE",
        remedy=_UNTRUSTED if refused else remedy_for((fault.said for fault in said.values()), _UNREACHABLE),
        lasting=any(not fault.transient for fault in said.values()),
    )


class TimestampClient:
    """Uses `urls` in order, within `limits`; safe to share between threads.

    A token that `judge` refuses counts as no answer: the next server is asked; without one the caller judges. Raises
    ConfigurationError for a proxy or a CA file of `network` that can't be used.
    """

    def __init__(
        self,
        urls: Sequence[str],
        limits: TimestampLimits,
        cancelled: threading.Event,
        network: NetworkOptions,
        judge: TokenJudge | None = None,
    ) -> None:
        self.servers = tuple(
            RemoteAuthority(url, limits.of(url), cancelled, network, judge) for url in dict.fromkeys(urls)
        )
        self._cancelled = cancelled

    @property
    def facts(self) -> tuple[ServerFacts, ...]:
        """What each server did so far, in order."""
        return tuple(server.facts for server in self.servers)

    def stamp(self, signature: bytes, algorithm: DigestAlgorithm) -> TimestampToken:
        """A token over `signature`; imprint and token use `algorithm`.

        Raises TimestampError that says of each server what it did, CancelledError while waiting. The signature
        stays good for another try.
        """
        said: dict[RemoteAuthority, ServerFault] = {}
        left = list(self.servers)
        for attempt in range(ROUNDS + 1):
            # One that asks to be left alone comes after those that do not: waiting for it would hold the file up.
            for server in sorted(left, key=lambda server: server.asks_to_wait):
                # The last round is for servers that only others asked so far.
                if server in said if attempt == ROUNDS else not server.is_well():
                    continue
                answer = server.ask(signature, algorithm)
                if isinstance(answer, TimestampToken):
                    return answer
                said[server] = answer
                if not answer.transient:
                    left.remove(server)
            if not left:
                break
            if attempt < ROUNDS - 1:
                self._pause(attempt, left)
        raise no_timestamp(said)

    def close(self) -> None:
        """Close the connections."""
        for server in self.servers:
            server.close()

    def _pause(self, attempt: int, servers: Sequence[RemoteAuthority]) -> None:
        seconds = FIRST_PAUSE * 2**attempt * random.uniform(1.0, 2.0)  # noqa: S311 - jitter
        rests = min(server.rests for server in servers)
        if self._cancelled.wait(min(max(seconds, rests), LONGEST_PAUSE)):
            raise CancelledError
