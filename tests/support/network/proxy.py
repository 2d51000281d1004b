"""A forward proxy on loopback: CONNECT and whole URLs, with a login where one is wanted."""

from __future__ import annotations

import contextlib
import socket
import ssl
from base64 import b64encode
from urllib.parse import urlsplit

from support.network.listener import Listener, header, read_request, relay

USER, PASSWORD = "agent", "p@ss:wört/1"
"""A password with everything that a URL has a meaning for."""
LOGIN = "agent:p%40ss%3Aw%C3%B6rt%2F1"
"""The same as it stands in a URL."""
_EXPECTED = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Proxy(Listener):
    """Carries what it is asked to; every host name leads to loopback. `lines` are the requests, `seen` what it read."""

    def __init__(self, *, login: bool = False, context: ssl.SSLContext | None = None) -> None:
        super().__init__(self._forward, context)
        self.lines: list[str] = []
        self.seen = bytearray()
        self._login = login

    def _forward(self, connection: socket.socket) -> None:
        while request := read_request(connection):
            self.seen += request
            head, _, body = request.partition(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode("latin-1")
            self.lines.append(line)
            if self._login and header(head, "proxy-authorization") != _EXPECTED:
                connection.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            method, target, _ = line.split(" ")
            if method == "CONNECT":
                with self._reached(int(target.rpartition(":")[2])) as host:
                    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    relay(connection, host)
                return
            self._pass_on(connection, method, target, head, body)

    def _pass_on(self, connection: socket.socket, method: str, target: str, head: bytes, body: bytes) -> None:
        url = urlsplit(target)
        assert url.scheme == "http", f"a proxy is asked for whole URLs: {target}"
        kept = [
            header for header in head.split(b"\r\n")[1:] if not header.lower().startswith((b"proxy-", b"connection:"))
        ]
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        lines = [f"{method} {path} HTTP/1.1".encode(), *kept, b"Connection: close"]
        with self._reached(url.port or 80) as host:
            host.sendall(b"\r\n".join((*lines, b"", body)))
            with contextlib.suppress(OSError):
                while data := host.recv(65536):
                    connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    def _reached(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=20)


def tls_front(port: int, context: ssl.SSLContext) -> Listener:
    """Speaks TLS for the server at that port."""

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as server:
            relay(connection, server)

    return Listener(serve, context)


def wanting_login(port: int, user: str, password: str) -> Listener:
    """Stands before the server at that port and lets requests with that login pass, once for each connection."""
    expected = "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            if header(request.partition(b"\r\n\r\n")[0], "authorization") != expected:
                connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                continue
            with socket.create_connection(("127.0.0.1", port), timeout=20) as server:
                server.sendall(request)
                relay(connection, server)
            return

    return Listener(serve)
