"""A package index behind a proxy with a password: what a company's agents reach and the internet does not."""

from __future__ import annotations

import base64
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

USER, PASSWORD = "agent", "proxy-pass/word"
HOST = "index.invalid"
"""No name server knows it: only a proxy leads there."""


class PackageIndex:
    """Serves the wheels of a folder as a simple index inside its `with` block."""

    def __init__(self, wheels: Path) -> None:
        self._server = _Server(wheels)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def proxy(self) -> str:
        """The proxy's URL, without its password."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def asked(self) -> int:
        """How many requests came with the password."""
        return self._server.asked

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, wheels: Path) -> None:
        self.wheels = wheels
        self.asked = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Proxy-Authorization") != f"Basic {expected}":
            self.send_error(407)
            return
        self.server.asked += 1
        place = urlsplit(self.path)
        name = place.path.strip("/").rpartition("/")[2]
        wheel = self.server.wheels / name
        if place.hostname != HOST:
            self.send_error(502)
        elif wheel.suffix == ".whl" and wheel.is_file():
            self._send(wheel.read_bytes(), "application/octet-stream")
        else:
            of_package = [each.name for each in self.server.wheels.glob("*.whl") if _project(each.name) == name]
            self._send("".join(f'<a href="/files/{each}">{each}</a>' for each in of_package).encode(), "text/html")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Silent."""


def _project(wheel: str) -> str:
    return re.sub(r"[-_.]+", "-", wheel.partition("-")[0]).lower()
