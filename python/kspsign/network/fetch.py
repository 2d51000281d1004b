"""Fetches what CAs publish (issuers, OCSP, CRLs) over HTTP, with limits of size and time.

The content proves itself by its signature, so that plain HTTP does no harm.
"""

from __future__ import annotations

import urllib3

from kspsign.model.network_options import NetworkOptions
from kspsign.network.deadline import overran
from kspsign.network.exchange import Question, RedirectError, ask
from kspsign.network.failures import reason
from kspsign.network.pool import Pool

DEADLINE = 60.0
"""Seconds for a whole answer, however steadily it trickles."""
ATTEMPTS, REDIRECTS = 3, 2
_SAFE_TO_REPEAT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProtocolError,
)


def open_fetching(options: NetworkOptions) -> Pool:
    """What `fetch` asks through. Raises ConfigurationError for a proxy or a CA file that can't be used."""
    return Pool(options, deadline=DEADLINE, timeout=urllib3.Timeout(connect=5, read=15))


def fetch(
    pool: Pool, url: str, limit: int, *, question: bytes | None = None, content_type: str | None = None
) -> bytes | str:
    """The content at the address, at most `limit` bytes, or the reason why not. `question` of media type
    `content_type` is posted. A connection that does not come about, or breaks, is tried again at once.
    """
    headers = {"Connection": "close", **({} if content_type is None else {"Content-Type": content_type})}
    request = Question("GET" if question is None else "POST", url, question, headers)
    said = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = ask(pool, request, limit=limit, attempt=attempt, redirects=REDIRECTS)
        except (urllib3.exceptions.HTTPError, ValueError, RedirectError) as broken:
            said = reason(broken)
            if overran(broken) is not None or not isinstance(broken, _SAFE_TO_REPEAT):
                break
        else:
            if len(answer.body) > limit:
                return f"more than {limit} bytes"
            return answer.body if answer.status == 200 else f"HTTP {answer.status}"
    return said
