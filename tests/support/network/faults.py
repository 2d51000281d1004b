"""How a server misbehaves at the level of sockets. None of these ends by itself within a test's time."""

from __future__ import annotations

import socket
import time

from support.network.listener import Serve, read_request

_PAUSE = 0.05
"""Seconds between two bytes: far below every timeout of a socket."""
_STEPS = 400


def drip(connection: socket.socket) -> None:
    """A good head, then a body that comes a byte at a time."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    _slowly(connection, b"x")


def drip_header(connection: socket.socket) -> None:
    """A header that comes a byte at a time."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _slowly(connection, b"x")


def endless_headers(connection: socket.socket) -> None:
    """Whole header lines, one after the other, without end."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    _slowly(connection, b"X-A: b\r\n", pause=0.1)


def endless_continue(connection: socket.socket) -> None:
    """`100 Continue`, again and again."""
    read_request(connection)
    _slowly(connection, b"HTTP/1.1 100 Continue\r\n\r\n")


def silence(connection: socket.socket) -> None:
    """A connection on which nothing comes."""
    read_request(connection)
    connection.recv(1)  # until the client closes


def hang_up(connection: socket.socket) -> None:
    """The connection ends in the place of an answer."""
    read_request(connection)


def answering(status: int, *headers: str, body: bytes = b"") -> Serve:
    """Every request gets that answer."""
    head = "\r\n".join((f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers, "", ""))

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(head.encode("latin-1") + body)

    return serve


def _slowly(connection: socket.socket, piece: bytes, *, pause: float = _PAUSE) -> None:
    for _ in range(_STEPS):
        connection.sendall(piece)
        time.sleep(pause)
