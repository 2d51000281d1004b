"""Azure DevOps on loopback: answers the real azure-devops client, and misbehaves when it is told to."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from support.azure_devops.locations import LOCATIONS, located
from support.azure_devops.resources import Call, RefusedError, answer
from support.azure_devops.state import Organisation
from support.loopback import LoopbackServer, SilentHandler, StandIn

TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJqb2IiOiJ0aGlzIn0.b3BlbnMtbm90aGluZy1idXQtdGhpcy1zZXJ2ZXI"  # noqa: S105 - made up
ENTRA_TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhcHAiOiJlbnRyYSJ9.b3BlbnMtbm90aGluZy1idXQtdGhpcy1zZXJ2ZXI"  # noqa: S105 - likewise
PERSONAL_TOKEN = "p" * 52 + "AAAA" + "o" * 28
SCHEMES = {TOKEN: {"Basic", "Bearer"}, ENTRA_TOKEN: {"Bearer"}, PERSONAL_TOKEN: {"Basic"}}
"""How the service takes a job's access token, an access token of Entra ID, and a personal access token."""
SIGN_IN_PAGE = b"<html><head><title>Azure DevOps Services | Sign In</title></head></html>"
PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET"),
    ("Access-Control-Allow-Headers", "authorization,accept"),
    ("Access-Control-Max-Age", "60"),
)
"""What a browser is told before it asks for another site's page (the extension's pages are of another site)."""
BODY_TYPES = {"POST": "application/json", "PATCH": "application/json"}


@dataclass(frozen=True)
class Fault:
    """How the next request goes wrong whose path holds `path`.

    "status" answers `status` with `headers`; "html" with a sign-in page of that status; "body" with `content`; "drop"
    closes the connection without answer, "cut" within the answer; "slow" waits `seconds` first.
    """

    kind: Literal["status", "html", "body", "drop", "cut", "slow"]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    path: str = ""
    seconds: float = 0.0
    content: bytes = b""


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    authorization: str


class AzureServer(StandIn):
    """Serves `organisation` at `url` inside its `with` block; one token is good."""

    def __init__(self) -> None:
        self.organisation = Organisation()
        self.faults: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.elsewhere: str | None = None
        """Another server's URL, to which the table of places leads."""
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """The URL of the collection."""
        return f"{self._server.url}/Contoso"

    def paths(self, method: str) -> list[str]:
        """The paths that were asked by that method."""
        return [call.path for call in self.seen if call.method == method]


class _Server(LoopbackServer):
    _ports: ClassVar[set[int]] = set()
    """Taken so far: the client keeps the table of places by URL, and may not meet another server at an old one."""

    def __init__(self, azure: AzureServer) -> None:
        super().__init__(_Handler)
        while self.port in self._ports:
            self.server_close()
            super().__init__(_Handler)
        self._ports.add(self.port)
        self.azure = azure


class _Handler(SilentHandler):
    wbufsize = 1 << 16
    server: _Server

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        if self.command == "OPTIONS" and "Access-Control-Request-Method" in self.headers:
            self._send(204, b"", "text/plain", PREFLIGHT)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        azure = self.server.azure
        azure.seen.append(Seen(self.command, parts.path, self.headers.get("Authorization", "")))
        fault = next((fault for fault in azure.faults if fault.path in parts.path), None)
        if fault is not None:
            azure.faults.remove(fault)
            if self._misbehave(fault):
                return
        try:
            content = self._answer(parts.path, dict(parse_qsl(parts.query)), body)
        except RefusedError as refused:
            wrapped = {"$id": "1", "message": str(refused), "typeKey": "RefusedException", "errorCode": 0}
            self._send(refused.status, json.dumps(wrapped).encode(), "application/json; charset=utf-8")
            return
        if isinstance(content, bytes):
            self._send(200, content, "application/octet-stream")
        else:
            self._send(200, json.dumps(content).encode(), "application/json; charset=utf-8; api-version=7.1")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def _answer(self, path: str, query: dict[str, str], body: bytes) -> Any:
        # Collections are found whatever their case: the package asks in lower case.
        collection, rest = path[: len("/Contoso")], path[len("/Contoso") :]
        if not self._signed_in() and "ticket" not in query:
            raise RefusedError(401, "")
        asked_area = re.fullmatch(r"/_apis(?:/(\w+))?/?", rest)
        if self.command == "OPTIONS" and asked_area is not None:
            area = (asked_area[1] or "").lower()
            described = [location.described for location in LOCATIONS if area in {"", location.area.lower()}]
            if self.server.azure.elsewhere is not None:
                for location in described:
                    location["routeTemplate"] = f"{self.server.azure.elsewhere}/{location['routeTemplate']}"
            return {"count": len(described), "value": described}
        place = located(rest) if collection.lower() == "/contoso" else None
        if place is None:
            raise RefusedError(404, f"The controller for path '{path}' was not found.")
        asked = f"{self.headers.get('Accept', '')};api-version={query.get('api-version')}"
        if "ticket" not in query and not re.search(r"api-version=[1-7]\.[0-2]", asked):
            raise RefusedError(400, "No api-version was supplied.")
        return answer(
            self.server.azure.organisation,
            Call(self.command, *place, query, self._parsed(body), self.server.azure.url),
        )

    def _signed_in(self) -> bool:
        """By the token: as such, or as the password of any user, as Microsoft's Node client sends it; see SCHEMES."""
        scheme, _space, credential = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            credential = base64.b64decode(credential).decode().partition(":")[2]
        return scheme in SCHEMES.get(credential, ())

    def _parsed(self, body: bytes) -> Any:
        if not body:
            return None
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        patch_document = self.command == "PATCH" and self.path.lower().endswith("/properties")
        expected = "application/json-patch+json" if patch_document else BODY_TYPES.get(self.command)
        if kind != expected:
            raise RefusedError(415, f"{kind} is not {expected}")
        return json.loads(body)

    def _misbehave(self, fault: Fault) -> bool:
        """Whether the request is dealt with."""
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return False
        if fault.kind == "status":
            self._send(fault.status, b'{"message": "told to"}', "application/json", fault.headers)
        elif fault.kind == "html":
            self._send(fault.status, SIGN_IN_PAGE, "text/html; charset=utf-8", fault.headers)
        elif fault.kind == "body":
            self._send(fault.status, fault.content, "application/json", fault.headers)
        else:
            self.close_connection = True
            if fault.kind == "cut":
                self._send(200, b"{", "application/json", length=99)
        return True

    def _send(
        self,
        status: int,
        content: bytes,
        kind: str,
        headers: tuple[tuple[str, str], ...] = (),
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        if "Origin" in self.headers:
            self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
        self.end_headers()
        self.wfile.write(content)
