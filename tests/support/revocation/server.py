"""OCSP responders and CRLs on loopback: what a CA would publish, right and wrong in every way."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from cryptography.x509 import ocsp

from support.loopback import LoopbackServer, SilentHandler, StandIn

Responder = Callable[[ocsp.OCSPRequest], bytes]


class RevocationServer(StandIn):
    """Answers POST /ocsp by `responder` and GET by `files` (path to content); `asked` are the paths, in order.

    Without a responder, and for other paths, the answer is 404.
    """

    def __init__(self) -> None:
        self.responder: Responder | None = None
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._server = LoopbackServer(self._handler())

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return self._server.url

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(SilentHandler):
            def do_GET(self) -> None:
                self._answer(outer.files.get(self.path))

            def do_POST(self) -> None:
                question = self.rfile.read(int(self.headers["Content-Length"]))
                right = self.path == "/ocsp" and self.headers["Content-Type"] == "application/ocsp-request"
                answer = outer.responder(ocsp.load_der_ocsp_request(question)) if right and outer.responder else None
                self._answer(answer)

            def _answer(self, content: bytes | None) -> None:
                outer.asked.append(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                try:
                    self.wfile.write(content or b"")
                except ConnectionError:
                    self.close_connection = True  # the client had read enough

        return Handler
