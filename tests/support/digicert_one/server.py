"""The service on loopback: TLS with client certificates, kept-alive connections, a request log, faults on demand."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from support.digicert_one import wire
from support.digicert_one.answers import Request, Response, answer
from support.digicert_one.world import World
from support.loopback import LoopbackServer, SilentHandler, StandIn


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` whose path holds `path`.

    `response` answers in the service's place, None closes the connection without an answer; with `after` the
    service has done its work before. `cut` sends half of the answer only.
    """

    method: str
    path: str
    response: Response | None = None
    after: bool = False
    cut: bool = False
    times: int = 1


@dataclass
class Record:
    """What arrived: every request, and how many TLS connections were made."""

    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    exchanges: list[tuple[float, Request, Response]] = field(default_factory=list)
    """What was answered, and when (seconds since 1970), also where the answer was lost: the service's log has it."""

    def of(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]


class DigicertOne(StandIn):
    """Serves `world` at `url` inside its `with` block; `context` is its side of TLS. `latency` is what a
    signature takes, in seconds.

    More than `most` signatures at once are throttled. `spoil` changes a request before it is answered.
    """

    def __init__(self, world: World, context: ssl.SSLContext, *, latency: float = 0.0) -> None:
        self.world = world
        self.record = Record()
        self.faults: list[Fault] = []
        self.only_ids = False
        self.latency = latency
        self.most: int | None = None
        self.spoil: Callable[[Request], Request] = lambda request: request
        self.signing = self.throttled = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(self, context)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.port}"

    def connected(self) -> int:
        """Count one more connection: its number."""
        with self._lock:
            self.record.connections += 1
            return self.record.connections

    def respond(self, request: Request) -> tuple[Response | None, bool]:
        """The answer (None: hang up), and whether half of it must do."""
        with self._lock:
            self.record.requests.append(request)
            self.signing += request.method == "POST"
            if request.method == "POST" and self.most is not None and self.signing > self.most:
                self.throttled += 1
                self.signing -= 1
                return Response(429, wire.error("too_many_requests", "slow down"), {"Retry-After": "1"}), False
            fault = next(
                (
                    planned
                    for planned in self.faults
                    if planned.times and (request.method, True) == (planned.method, planned.path in request.target)
                ),
                None,
            )
            if fault is not None:
                fault.times -= 1
        try:
            return self._answer(request, fault)
        finally:
            with self._lock:
                self.signing -= request.method == "POST"

    def _answer(self, request: Request, fault: Fault | None) -> tuple[Response | None, bool]:
        if request.method == "POST":
            self._ended.wait(self.latency)
        if fault is not None and not fault.after and not fault.cut:
            return fault.response, False
        real = answer(self.spoil(request), self.world, only_ids=self.only_ids)
        with self._lock:
            self.record.exchanges.append((time.time(), request, real))
        if fault is None or fault.cut:
            return real, fault is not None
        return fault.response, False

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        super().__exit__()


class _Server(LoopbackServer):
    block_on_close = True

    def __init__(self, service: DigicertOne, context: ssl.SSLContext) -> None:
        self.service = service
        self.context = context
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(_Handler)

    def keep(self, connection: socket.socket, *, held: bool) -> None:
        with self._guard:
            (self._open.add if held else self._open.discard)(connection)

    def server_close(self) -> None:
        self.hang_up()
        super().server_close()

    def hang_up(self) -> None:
        """End the connections that clients keep alive, so that their threads end too."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster


class _Handler(SilentHandler):
    wbufsize = -1
    timeout = 30
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(self.timeout)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.keep(self.request, held=True)
        self.number = self.server.service.connected()
        super().setup()

    def finish(self) -> None:
        self.server.keep(self.request, held=False)
        try:
            super().finish()
        finally:
            self.request.close()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        subject = (self.request.getpeercert() or {}).get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        request = Request(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            client=names[0] if names else None,
            connection=self.number,
        )
        response, cut = self.server.service.respond(request)
        if response is None:
            self.close_connection = True
            return
        self._send(response.status, response.body, response.headers, cut=cut)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, cut: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut
