"""OCSP responders and CRLs on loopback: what a CA would publish, right and wrong in every way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cryptography.x509 import ocsp

Responder = Callable[[ocsp.OCSPRequest], bytes]


class RevocationServer:
    """Answers POST /ocsp by `responder` and GET by `files` (path to content); `asked` are the paths, in order.

    Without a responder, and for other paths, the answer is 404.
    """

    def __init__(self) -> None:
        self.responder: Responder | None = None
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
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

            def log_message(self, *_: Any) -> None:
                """Nothing: a test's output is its own."""

        return Handler
