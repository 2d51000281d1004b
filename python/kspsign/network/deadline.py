"""A deadline for a whole exchange, besides the socket's timeouts.

A timeout of a socket counts from the last byte: a server that sends one byte of a body or a header every second, or
`100 Continue` without end, never runs into it. Here the socket itself knows when the exchange must be over, and
waits for each byte at most until then. That holds for TLS and for a proxy's tunnel, and takes no thread.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

T = TypeVar("T")


class DeadlineClock:
    """When an exchange of at most `seconds` must be over, counted from its start."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = float("inf")

    def start(self) -> None:
        """An exchange begins."""
        self._end = time.monotonic() + self.seconds

    def bounded(self, sock: socket.socket, step: Callable[[], T]) -> T:
        """What `step` on `sock` returns; raises TimeoutError (ETIME) when the exchange's time is over before that."""
        own, left = sock.gettimeout(), self._end - time.monotonic()
        if left == float("inf") or (own is not None and own <= left):
            return step()
        if left <= 0:
            raise self._overrun()
        sock.settimeout(left)
        try:
            return step()
        except TimeoutError as slow:
            raise self._overrun() from slow
        finally:
            if sock.fileno() >= 0:
                sock.settimeout(own)

    def _overrun(self) -> TimeoutError:
        return TimeoutError(errno.ETIME, f"not complete after {self.seconds:.3g} s")


class TimedSocket(socket.socket):
    """A socket whose reads and writes end with `clock`."""

    clock = DeadlineClock(float("inf"))

    def recv_into(self, *args: Any, **options: Any) -> int:
        return self.clock.bounded(self, lambda: super(TimedSocket, self).recv_into(*args, **options))

    def recv(self, *args: Any) -> bytes:
        return self.clock.bounded(self, lambda: super(TimedSocket, self).recv(*args))

    def send(self, *args: Any) -> int:
        return self.clock.bounded(self, lambda: super(TimedSocket, self).send(*args))

    def sendall(self, *args: Any) -> None:
        self.clock.bounded(self, lambda: super(TimedSocket, self).sendall(*args))


class TimedTLSSocket(ssl.SSLSocket):
    """The same for TLS: every way to read goes through `read`, every way to write through `send`."""

    clock = DeadlineClock(float("inf"))

    def read(self, *args: Any) -> Any:
        return self.clock.bounded(self, lambda: super(TimedTLSSocket, self).read(*args))

    def send(self, *args: Any) -> int:
        return self.clock.bounded(self, lambda: super(TimedTLSSocket, self).send(*args))


class _Timed(HTTPConnection):
    """A connection whose clock starts with each exchange: with the connection that it needs, else with its request."""

    exchange_seconds = float("inf")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = DeadlineClock(self.exchange_seconds)
        self._just_connected = False

    def connect(self) -> None:
        """Connect, through the proxy's tunnel if there is one. Nothing is sent to the host when it raises."""
        self._clock.start()
        try:
            super().connect()
        except TimeoutError as slow:
            # Else urllib3 calls a tunnel or a handshake that takes too long an answer that does.
            raise urllib3.exceptions.ConnectTimeoutError(self, f"no connection to {self.host} in time") from slow
        self._attach(self.sock)
        self._just_connected = True

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request; the time of a new connection counts."""
        if not self._just_connected:
            self._clock.start()
        try:
            super().request(*args, **options)
        finally:
            self._just_connected = False

    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        timed = TimedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        timed.settimeout(timeout)
        timed.clock = self._clock
        return timed

    def _attach(self, sock: Any) -> Any:
        if isinstance(sock, (TimedSocket, TimedTLSSocket)):
            sock.clock = self._clock
        return sock


class TimedConnection(_Timed):
    """Over http."""


class TimedTLSConnection(_Timed, HTTPSConnection):
    """Over https, by a context whose sockets are TimedTLSSocket."""

    def _connect_tls_proxy(self, hostname: str, sock: socket.socket) -> ssl.SSLSocket:
        connected: ssl.SSLSocket = self._attach(super()._connect_tls_proxy(hostname, sock))
        return connected


def timed_pools(seconds: float) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """The connection classes of a PoolManager by scheme, so that each exchange takes at most `seconds`."""

    class Connection(TimedConnection):
        exchange_seconds = seconds

    class TLSConnection(TimedTLSConnection):
        exchange_seconds = seconds

    class TimedPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TimedTLSPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TLSConnection

    return {"http": TimedPool, "https": TimedTLSPool}


def overran(broken: BaseException) -> str | None:
    """What to say of the deadline that `broken`, or what it carries, is about; None when it is something else."""
    seen: list[BaseException] = []
    waiting: list[object] = [broken]
    while waiting:
        part = waiting.pop()
        if isinstance(part, TimeoutError) and part.errno == errno.ETIME:
            return str(part.strerror)
        if isinstance(part, BaseException) and part not in seen:
            seen.append(part)
            waiting += [part.__cause__, part.__context__, *part.args, getattr(part, "reason", None)]
    return None
