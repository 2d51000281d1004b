"""What CAs publish, issuers and revocation, fetched over HTTP within limits of size and time.

The content proves itself by its signature, so that plain HTTP does no harm.
"""

from __future__ import annotations

import time
from urllib.request import getproxies, proxy_bypass

import urllib3

TIMEOUT = urllib3.Timeout(connect=5, read=15)
DEADLINE = 60.0
"""Seconds for a whole answer, however steadily it trickles."""
_PIECE = 1 << 16


def fetch(
    url: str, limit: int, *, question: bytes | None = None, kind: str | None = None, deadline: float = DEADLINE
) -> bytes | str:
    """What the address gives, at most `limit` bytes within `deadline` seconds, or what went wrong.

    `question` of media type `kind` is posted.
    """
    try:
        with _pool(url) as pool:
            reply = pool.request(
                "GET" if question is None else "POST",
                url,
                body=question,
                headers={} if kind is None else {"Content-Type": kind},
                timeout=TIMEOUT,
                retries=urllib3.Retry(2, redirect=2),
                preload_content=False,
            )
            try:
                body = _limited(reply, limit, deadline)
            finally:
                reply.close()
    except (urllib3.exceptions.HTTPError, ValueError) as broken:
        return f"no answer ({type(broken).__name__})"
    return body if reply.status == 200 else f"HTTP {reply.status}"


def _limited(reply: urllib3.BaseHTTPResponse, limit: int, deadline: float) -> bytes | str:
    end, body = time.monotonic() + deadline, bytearray()
    while piece := reply.read1(_PIECE, decode_content=False):
        body += piece
        if len(body) > limit:
            return f"more than {limit} bytes"
        if time.monotonic() > end:
            return f"not complete after {deadline:.0f} s"
    return bytes(body)


def _pool(url: str) -> urllib3.PoolManager:
    parts = urllib3.util.parse_url(url)
    proxy = getproxies().get(parts.scheme or "http")
    if proxy and not proxy_bypass(parts.host or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
