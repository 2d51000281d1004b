"""Daemons of a test's own: started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_READY_SECONDS = 20.0


@contextlib.contextmanager
def running(*command: object, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The process, until the end of the block; what it prints is nobody's."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        [*map(str, command)], env={**os.environ, **(environment or {})}, stdout=nowhere, stderr=nowhere
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for something, which `process` is to bring about."""
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        assert process is None or process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_listening(port: int) -> bool:
    """Whether a server of this machine listens at `port`: asked of the system, for some take one client only."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text(encoding="ascii")


def free_pair() -> int:
    """A port of this machine that is free, as is the next one."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe, contextlib.suppress(OSError):
            port = int(probe.getsockname()[1])
            with socket.create_server(("127.0.0.1", port + 1)):
                return port
