"""SignServer on loopback, over TLS with a CA of its own, asking for client certificates; every request is kept."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

from kspsign.certificates.parse import common_name, parse_certificate
from support.digicert_one.access import PASSWORD as P12_PASSWORD
from support.digicert_one.access import Access
from support.key_vault.answers import Request, Response
from support.loopback import LoopbackServer, SilentHandler, StandIn
from support.signserver.answers import BASE, respond
from support.signserver.world import CLIENT, PASSWORD, TOKEN, USER, WORKER, SignServerWorld


class SignServer(StandIn):
    """Serves `world` inside its `with` block; without `tls` by plain HTTP.

    `interfere` may answer in the server's place; after `hang_up` says so the connection is closed instead of answered,
    though the worker acted.
    """

    def __init__(self, world: SignServerWorld, folder: Path, *, tls: bool = True) -> None:
        self.world, self.folder, self._tls = world, folder, tls
        self.requests: list[Request] = []
        self.interfere: Callable[[Request], Response | None] = lambda _request: None
        self.hang_up: Callable[[Request], bool] = lambda _request: False
        self.access = Access.create(folder)
        for name, content in (("code.pem", world.file), ("root.pem", world.root.pem)):
            (folder / name).write_bytes(content)
        self._server = LoopbackServer(_handler(self))
        if tls:
            context = self.access.context()
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def work(self, request: Request, client: str | None) -> Response:
        """The answer, which the server gives by itself."""
        return respond(self.world, request, client)

    @property
    def url(self) -> str:
        """With its path."""
        place = f"https://localhost:{self._server.port}" if self._tls else self._server.url
        return f"{place}{BASE}"

    @property
    def options(self) -> tuple[object, ...]:
        """What makes kspsign sign with the worker."""
        named = ("--key-store", "signserver", "--signserver-url", self.url, "--keypair-alias", WORKER)
        return (*named, "--certificate", self.folder / "code.pem", "--ca-file", self.access.ca_file)

    @property
    def trust(self) -> tuple[object, ...]:
        """The root to trust."""
        return ("--trust-root", self.folder / "root.pem")

    def environment(self, auth: str) -> dict[str, str]:
        """What the step maps for this way to authenticate."""
        if auth == "basic":
            return {"SIGNSERVER_USERNAME": USER, "SIGNSERVER_PASSWORD": PASSWORD}
        if auth == "token":
            return {"SIGNSERVER_TOKEN": TOKEN}
        if auth == "certificate":
            file = self.access.client_p12(CLIENT)
            return {"SIGNSERVER_CLIENT_CERT_FILE": str(file), "SIGNSERVER_CLIENT_CERT_PASSWORD": P12_PASSWORD}
        return {}

    @property
    def processed(self) -> list[Request]:
        """Requests for signatures."""
        return [request for request in self.requests if request.path.endswith("/process")]


def _handler(outer: SignServer) -> type[SilentHandler]:
    class Handler(SilentHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, "localhost", self.path, headers, self.rfile.read(length))
            outer.requests.append(request)
            response = outer.interfere(request) or outer.work(request, _client(self.connection))
            if outer.hang_up(request):
                self.close_connection = True
                return
            content = response.content
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(response.status)
            for name, value in {"Content-Type": "application/json", **response.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    return Handler


def _client(connection: object) -> str | None:
    """The common name in the TLS client certificate, None without one."""
    der = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    return None if der is None else common_name(parse_certificate(der).subject)
