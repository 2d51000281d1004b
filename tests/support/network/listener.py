"""A server of raw sockets on loopback: each connection is handed to a function, over TLS where a context is given."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

Serve = Callable[[socket.socket], None]
_SECONDS = 20.0
"""Longest wait for a byte of a client."""


class Listener:
    """Hands connections to `serve` inside its `with` block, each on a thread of its own; closes them afterwards.

    `port` is where it listens on 127.0.0.1, `connections` counts.
    """

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._serve, self._context = serve, context
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._socket.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        scheme, host = ("http", "127.0.0.1") if self._context is None else ("https", "localhost")
        return f"{scheme}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # else `accept` goes on waiting
        self._socket.close()
        self._accepting.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            connection.settimeout(_SECONDS)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._work, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                plain, connection = connection, self._context.wrap_socket(connection, server_side=True)
                self._swap(plain, connection)
            self._serve(connection)
        except OSError:
            pass  # the client disconnected, which many are made to do
        finally:
            self._swap(connection, None)
            connection.close()

    def _swap(self, old: socket.socket, new: socket.socket | None) -> None:
        with self._lock:
            self._open.discard(old)
            if new is not None:
                self._open.add(new)


def read_request(connection: socket.socket) -> bytes:
    """One request as it came, head and body; empty when the client disconnected."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return b""
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(header(head, "content-length") or 0)
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def header(head: bytes, name: str) -> str | None:
    """The value of that header in a message's head; None when it is absent."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends; on one thread, as a TLS connection is not for two at once."""
    opposite = {one: other, other: one}
    with contextlib.suppress(OSError):
        while ready := _readable(one, other):
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                opposite[source].sendall(data)


def _readable(*connections: socket.socket) -> Sequence[socket.socket]:
    """Those that have bytes to read or have ended; none when there are none for too long."""
    decrypted = [source for source in connections if isinstance(source, ssl.SSLSocket) and source.pending()]
    return decrypted or select.select(connections, (), (), _SECONDS)[0]
