"""The RFC 3161 client: ordered servers, kept-alive connections, bounded retries, every answer checked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from kspsign.authenticode.certificates import common_name_of
from kspsign.authenticode.timestamp import check_reply, make_query
from kspsign.errors import TimestampError, TrustError
from kspsign.model import DigestAlgorithm, TimestampToken

ATTEMPTS_PER_SERVER = 3
FIRST_PAUSE = 0.5
MAX_REPLY = 1 << 20
TIMEOUT = urllib3.Timeout(connect=10, read=30)
HEADERS = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class TimestampClient:
    """Asks `urls` in their order; safe to share between threads. `pause` waits the given seconds."""

    def __init__(self, urls: Sequence[str], *, pause: Callable[[float], object] = time.sleep) -> None:
        self._urls = tuple(urls)
        self._pause = pause
        self._pools = {url: open_pool(url) for url in self._urls}

    def stamp(self, signature: bytes, algorithm: DigestAlgorithm) -> TimestampToken:
        """A checked token over `signature`; imprint and token use `algorithm`.

        Raises TimestampError that says of each server what it did. The signature stays good for another try.
        """
        said: list[str] = []
        for url in self._urls:
            answer = self._ask_until_settled(url, signature, algorithm)
            if isinstance(answer, TimestampToken):
                return answer
            said.append(f"{url}: {answer}")
        raise TimestampError(
            "no timestamp: " + "; ".join(said),
            code="TIMESTAMP_UNAVAILABLE",
            remedy="Check that the agent reaches the server (proxy, firewall: plain http, port 80), or name others "
            "with --timestamp-url; the file was not changed.",
        )

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            pool.clear()

    def _ask_until_settled(self, url: str, signature: bytes, algorithm: DigestAlgorithm) -> TimestampToken | str:
        """The token, or what the server did wrong in the end."""
        attempt = 1
        while True:
            answer = self._ask(url, signature, algorithm)
            if isinstance(answer, TimestampToken):
                return answer
            fault, transient = answer
            if not transient or attempt == ATTEMPTS_PER_SERVER:
                return fault
            self._pause(FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            attempt += 1

    def _ask(self, url: str, signature: bytes, algorithm: DigestAlgorithm) -> TimestampToken | tuple[str, bool]:
        """The token, or what went wrong and whether another try at the same server makes sense."""
        query = make_query(signature, algorithm)
        try:
            reply = self._pools[url].request(
                "POST",
                url,
                body=query.der,
                headers=HEADERS,
                timeout=TIMEOUT,
                retries=False,
                preload_content=False,
            )
            try:
                body = reply.read(MAX_REPLY + 1)
            finally:
                reply.release_conn()
        except urllib3.exceptions.HTTPError as broken:
            return f"no answer ({_reason(broken)})", True
        if reply.status != 200:
            return f"HTTP {reply.status}", reply.status in _TRANSIENT
        if len(body) > MAX_REPLY:
            return f"an answer of more than {MAX_REPLY} bytes", False
        try:
            token, stamp = check_reply(body, query, signature)
        except TrustError as unusable:
            return f"an unusable answer: {unusable.message}", False
        return TimestampToken(token, stamp.time, common_name_of(stamp.signer), stamp.digest)


def open_pool(url: str) -> urllib3.PoolManager:
    """A pool through the machine's proxy for this URL, if it has one."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, maxsize=64)
    return urllib3.PoolManager(maxsize=64)


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    # Most special first: a refused connection is a kind of time-out to urllib3.
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "unknown host"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "timed out"
    return type(error).__name__
