"""A timestamp server on loopback: HTTP (RFC 3161 §3.4) around `timestamp_reply.respond`, for test signing."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.errors import PrerequisiteError

QUERY_TYPE = "application/timestamp-query"
REPLY_TYPE = "application/timestamp-reply"
MAX_QUERY = 64 * 1024
"""Longest request body in bytes; a real query has about a hundred."""
LINGER_SECONDS = 2.0
LINGER_READS = 64


def _clock() -> datetime:
    return datetime.now(UTC)


class TimestampServer:
    """Serves timestamps of `authority` at `url` inside its `with` block; the port is bound when it is made.

    `port` 0 takes any free port; `now` is the clock that tokens state. Raises PrerequisiteError when the port
    can't be bound.
    """

    def __init__(self, authority: EmbeddedAuthority, *, port: int = 0, now: Callable[[], datetime] = _clock) -> None:
        try:
            self._server = _Server(port, lambda query: respond(query, authority, now()))
        except OSError as refused:
            raise PrerequisiteError(
                f"the embedded timestamp server can't listen on 127.0.0.1 port {port}: {refused}",
                code="TIMESTAMP_PORT",
                remedy="Let it choose a free port, or stop the program that listens there.",
            ) from refused
        self._port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="timestamp-server",
            daemon=True,
        )

    @property
    def url(self) -> str:
        """Where to send timestamp queries."""
        return f"http://127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    # It frees ports that linger in TIME_WAIT, but on Windows it lets another process take a port in use.
    allow_reuse_address = os.name == "posix"
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close kept-alive connections, so that their threads end as well."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # the client closed the connection
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "kspsign-test-timestamp"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        if length is None or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif len(length) > len(str(MAX_QUERY)) or int(length) > MAX_QUERY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self.headers.get_content_type() != QUERY_TYPE:
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        else:
            query = self.rfile.read(int(length))  # shorter if the client hung up: the reply then says bad format
            self._send(HTTPStatus.OK, REPLY_TYPE, self.server.answer(query))

    def do_GET(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    def do_HEAD(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    def do_PUT(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body; the connection can't be reused.

        The rest of the request is read and discarded: closing earlier would reset the connection, and the client
        might lose the answer.
        """
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER_SECONDS)
        for _ in range(LINGER_READS):
            if not self.connection.recv(MAX_QUERY):
                return

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Log nothing: standard error belongs to the run's own log."""
