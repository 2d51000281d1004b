"""A package index behind a proxy with a password: what a company's agents reach and the internet does not."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import urlsplit

from support.loopback import LoopbackServer, SilentHandler, StandIn

USER, PASSWORD = "agent", "proxy-pass/word"
HOST = "index.invalid"
"""No name server knows it: only a proxy leads there."""


class PackageIndex(StandIn):
    """Serves the wheels of a folder as a simple index inside its `with` block."""

    _server: _Server

    def __init__(self, wheels: Path) -> None:
        self._server = _Server(wheels)

    @property
    def proxy(self) -> str:
        """The proxy's URL, without its password."""
        return self._server.url

    @property
    def asked(self) -> int:
        """How many requests came with the password."""
        return self._server.asked


class _Server(LoopbackServer):
    def __init__(self, wheels: Path) -> None:
        self.wheels = wheels
        self.asked = 0
        super().__init__(_Handler)


class _Handler(SilentHandler):
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
            of_package = [wheel.name for wheel in self.server.wheels.glob("*.whl") if _project(wheel.name) == name]
            self._send("".join(f'<a href="/files/{file}">{file}</a>' for file in of_package).encode(), "text/html")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _project(wheel: str) -> str:
    return re.sub(r"[-_.]+", "-", wheel.partition("-")[0]).lower()
