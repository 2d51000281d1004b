"""A timestamp server on loopback that is slow, fails or hangs as it is told; its tokens are real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond
from kspsign.embedded.timestamp_server import REPLY_TYPE
from support.loopback import LoopbackServer, SilentHandler, StandIn


@dataclass(frozen=True)
class Trouble:
    """What a request meets instead of a token."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Stamping(StandIn):
    """Answers at `url` inside its `with` block, `latency` seconds after each request, by a clock that is `skew` off.
    The latency may depend on the number of the request (from 1).

    `trouble` gets the number of the request (from 1) and may answer in its place; `stamped` counts tokens.
    """

    def __init__(
        self,
        authority: EmbeddedAuthority,
        *,
        latency: float | Callable[[int], float] = 0.0,
        skew: timedelta = timedelta(),
        trouble: Callable[[int], Trouble | None] = lambda _number: None,
        answer: Callable[[bytes, EmbeddedAuthority, datetime], bytes] = respond,
    ) -> None:
        self.asked = self.stamped = 0
        self._authority, self._latency, self._skew = authority, latency, skew
        self._trouble, self._answer = trouble, answer
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"{self._server.url}/"

    def reply(self, query: bytes) -> Trouble | bytes:
        """What becomes of one request."""
        with self._lock:
            self.asked += 1
            trouble = self._trouble(self.asked)
            latency = self._latency(self.asked) if callable(self._latency) else self._latency
        self._ended.wait(latency)
        if trouble is not None:
            return trouble
        with self._lock:
            self.stamped += 1
        return self._answer(query, self._authority, datetime.now(UTC) + self._skew)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        super().__exit__()


class _Server(LoopbackServer):
    def __init__(self, stamping: Stamping) -> None:
        self.stamping = stamping
        super().__init__(_Handler)


class _Handler(SilentHandler):
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"]))
        reply = self.server.stamping.reply(query)
        body = b"" if isinstance(reply, Trouble) else reply
        self.send_response(reply.status if isinstance(reply, Trouble) else 200)
        self.send_header("Content-Type", REPLY_TYPE)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items() if isinstance(reply, Trouble) else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def every_other(number: int) -> Trouble | None:
    """Fails with every second request."""
    return Trouble(503) if number % 2 else None


def never(_number: int) -> Trouble:
    """Fails always."""
    return Trouble(500)
