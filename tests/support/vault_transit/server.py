"""Vault on loopback, over TLS with a CA of its own where a folder for it is given; every request is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from support.digicert_one.access import Access
from support.loopback import LoopbackServer, SilentHandler, StandIn
from support.vault_transit.answers import VaultRequest, VaultResponse, respond
from support.vault_transit.world import KEY, TOKEN, VaultWorld

Interfere = Callable[[VaultRequest], VaultResponse | None]


class TransitServer(StandIn):
    """Serves `world` inside its `with` block.

    `interfere` may answer in Vault's place; after `hang_up` says so the connection is closed instead of answered,
    though Vault acted.
    """

    def __init__(self, world: VaultWorld, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.requests: list[VaultRequest] = []
        self.interfere: Interfere = lambda _request: None
        self.hang_up: Callable[[VaultRequest], bool] = lambda _request: False
        access = Access.create(folder)
        self.ca_file = access.ca_file
        (folder / "root.pem").write_bytes(world.root.pem)
        outer = self

        class Handler(SilentHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                path, _, query = self.path.partition("?")
                method = "LIST" if self.command == "GET" and "list=true" in query else self.command
                body = self.rfile.read(length)
                request = VaultRequest(method, unquote(path.removeprefix("/v1/")), headers, body)
                outer.requests.append(request)
                response = outer.interfere(request) or respond(outer.world, request)
                if outer.hang_up(request):
                    self.close_connection = True
                    return
                content = response.content
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                body = b"" if response.status == 204 else body
                self.send_response(response.status)
                for name, value in {"Content-Type": "application/json", **response.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_POST = do_PUT = do_HEAD = do_LIST = do_GET

        self._server = LoopbackServer(Handler)
        self._server.socket = access.context().wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self._server.port}"

    @property
    def options(self) -> tuple[object, ...]:
        """What makes kspsign sign with the key."""
        return ("--key-store", "vault", "--vault-address", self.url, "--keypair-alias", KEY, "--ca-file", self.ca_file)

    @property
    def trust(self) -> tuple[object, ...]:
        """The root to trust."""
        return ("--trust-root", self.folder / "root.pem")

    @property
    def environment(self) -> dict[str, str]:
        """What the step maps for it."""
        return {"VAULT_TOKEN": TOKEN}

    def of(self, what: str) -> list[VaultRequest]:
        """Requests with `what` in their path."""
        return [request for request in self.requests if what in request.path]
