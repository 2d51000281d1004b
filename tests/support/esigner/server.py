"""SSL.com's hosts behind the loopback proxy, by their real names; and without TLS at `endpoint`, for other clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.esigner.answers import respond
from support.esigner.world import CREDENTIAL, PASSWORD, TOTP, USER, ESignerWorld
from support.key_vault.answers import MACHINE, Request, Response
from support.key_vault.server import Azure
from support.key_vault.world import World

PRODUCTION = ("login.ssl.com", "cs.ssl.com")
SANDBOX = ("oauth-sandbox.ssl.com", "cs-try.ssl.com")


class ESigner(Azure):
    """Serves `account` inside its `with` block, in the production environment; `hosts` may be the sandbox's."""

    def __init__(self, folder: Path, hosts: tuple[str, str] = PRODUCTION) -> None:
        self.account, self.folder = ESignerWorld(), folder
        super().__init__(World({}), folder)
        (folder / "root.pem").write_bytes(self.account.root.pem)
        self.services |= dict.fromkeys(hosts, self.work)
        self.services[MACHINE] = lambda request: respond(self.account, request, PRODUCTION[0])

    def work(self, request: Request) -> Response:
        """The answer, which the service gives by itself."""
        return respond(self.account, request)

    @property
    def endpoint(self) -> str:
        """Where a client reaches everything without TLS."""
        return self.url

    @property
    def options(self) -> tuple[object, ...]:
        """What makes kspsign sign with the credential."""
        return ("--key-store", "esigner", "--keypair-alias", CREDENTIAL)

    @property
    def trust(self) -> tuple[object, ...]:
        """The root to trust."""
        return ("--trust-root", self.folder / "root.pem")

    @property
    def login(self) -> dict[str, str]:
        """What the step maps for it."""
        return {"ESIGNER_USERNAME": USER, "ESIGNER_PASSWORD": PASSWORD, "ESIGNER_TOTP_SECRET": TOTP}

    @property
    def environment(self) -> dict[str, str]:
        """The same, and the way to the hosts."""
        return {**super().environment, "AZURE_CLIENT_SECRET": "", **self.login}

    def of(self, what: str) -> list[Request]:
        """Requests with `what` in their path."""
        return [request for request in self.record.requests if what in request.path]

    def _service(self, request: Request) -> Callable[[Request], Response] | None:
        return self.services.get(request.host)
