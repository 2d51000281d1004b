"""All the hosts behind one loopback proxy, as an agent behind a company's proxy meets them: by their real names.

CONNECT ends in TLS of the stand-in's own CA (REQUESTS_CA_BUNDLE); plain requests are the CA's own files.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.key_vault.answers import GITHUB, LOGIN, MACHINE, PIPELINES, SOVEREIGN_LOGIN, Request, Response, answer
from support.key_vault.world import ACCESS_TOKEN, CLIENT_SECRET, JOB_TOKEN, World
from support.loopback import LoopbackServer, SilentHandler, StandIn
from support.pki import ca, extended, issue, key_usage

HOSTS = (
    "*.vault.azure.net",
    "*.managedhsm.azure.net",
    "*.codesigning.azure.net",
    "*.vault.azure.cn",
    "*.privatelink.vaultcore.azure.net",
    "*.eu-central-1.amazonaws.com",
    "*.googleapis.com",
    "*.ssl.com",
    SOVEREIGN_LOGIN,
    LOGIN,
    PIPELINES,
    GITHUB,
)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, and when it was answered (seconds since 1970): what a service writes to its log."""

    time: float
    request: Request
    response: Response


@dataclass
class Record:
    """Every request in order, and how many tunnels were opened to whom; `exchanges` are those that were answered."""

    requests: list[Request] = field(default_factory=list)
    tunnels: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def of(self, host: str, path: str = "") -> list[Request]:
        """Requests to hosts that end so, with `path` in their target."""
        return [request for request in self.requests if request.host.endswith(host) and path in request.target]


class Azure(StandIn):
    """Serves `world` inside its `with` block; `interfere` may answer a request in the service's place.

    `services` are further ones by host, or by the domain below which their hosts are. A request for which `hang_up`
    is true is worked on, and the connection closed in the place of an answer.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.record = Record()
        self.interfere: Callable[[Request], Response | None] = lambda _request: None
        self.hang_up: Callable[[Request], bool] = lambda _request: False
        self.services: dict[str, Callable[[Request], Response]] = {}
        self.lock = threading.Lock()
        self._ca_file = folder / "azure-ca.pem"
        self.context = _context(folder, self._ca_file)
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """The proxy, which is also where the machine's own identities answer."""
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        """What a step of a pipeline gets to reach it."""
        proxy = self.url
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        return {
            **dict.fromkeys(names, proxy),
            "NO_PROXY": "",
            "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(self._ca_file),
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
        }

    @property
    def pipeline_environment(self) -> dict[str, str]:
        """The same for a step with a service connection."""
        uri = f"https://{PIPELINES}/org/project/_apis/distributedtask/hubs/build/plans/p/jobs/j/oidctoken"
        given = {"SYSTEM_OIDCREQUESTURI": uri, "SYSTEM_ACCESSTOKEN": ACCESS_TOKEN}
        return {**self.environment, **given, "AZURE_CLIENT_SECRET": ""}

    @property
    def github_environment(self) -> dict[str, str]:
        """The same for a step of a GitHub job that may ask for its token."""
        url = f"https://{GITHUB}/a/b/00000000/_apis/distributedtask/hubs/build/plans/p/jobs/j/idtoken?api-version=2.0"
        given = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": JOB_TOKEN}
        return {**self.environment, **given, "AZURE_CLIENT_SECRET": ""}

    def respond(self, request: Request) -> Response:
        """The answer to one request, which is recorded."""
        with self.lock:
            self.record.requests.append(request)
            interfering = self.interfere(request)
            service = self._service(request)
            if interfering is not None or service is None:
                response = interfering or answer(self.world, request)
                self.record.exchanges.append(Exchange(time.time(), request, response))
                return response
        response = service(request)
        with self.lock:
            self.record.exchanges.append(Exchange(time.time(), request, response))
        return response

    def _service(self, request: Request) -> Callable[[Request], Response] | None:
        if request.host == MACHINE and not request.path.startswith("/codesigningaccounts/"):
            return None  # the machine's own identities
        return self.services.get(request.host) or self.services.get(request.host.partition(".")[2])


class _Server(LoopbackServer):
    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        super().__init__(_Handler)


class _Handler(SilentHandler):
    server: _Server
    host: str | None = None

    def do_CONNECT(self) -> None:
        azure = self.server.azure
        self.host = self.path.partition(":")[0]
        with azure.lock:
            azure.record.tunnels.append(self.host)
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.connection = azure.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        """Close what do_CONNECT opened too."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        host = self.host or parts.hostname or MACHINE  # a path alone was asked of us, not of a proxy
        target = self.path if self.host else parts._replace(scheme="", netloc="").geturl()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, host, target, headers, body)
        # What http.server makes one slash of is another path to the services.
        doubled = self.requestline.split(" ")[1].startswith("//")
        response = Response(404, b"") if doubled else self.server.azure.respond(request)
        if self.server.azure.hang_up(request):
            self.close_connection = True
            return
        content = response.content
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response_only(response.status)
        self.send_header("Content-Length", str(len(data)))
        own = {"Content-Type": "application/json; charset=utf-8", "Date": self.date_time_string()}
        for name, value in {**own, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _context(folder: Path, ca_file: Path) -> ssl.SSLContext:
    root = ca("Stand-in proxy CA")
    ca_file.write_bytes(root.pem)
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in HOSTS])
    usage = (extended(ExtendedKeyUsageOID.SERVER_AUTH), key_usage("digital_signature"), (names, False))
    own = issue("stand-in", root, extensions=usage)
    pem = folder / "azure-server.pem"
    pem.write_bytes(own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + own.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
