"""SignServer and eSigner in the contract: the certificate comes with the signature, or with the credential."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kspsign.embedded.authority import EmbeddedAuthority
from support.esigner.answers import wrong
from support.esigner.server import ESigner
from support.esigner.world import CREDENTIAL
from support.key_contract.bench import Intercepted, contract_key
from support.key_vault.answers import Request, Response
from support.signserver.server import SignServer
from support.signserver.world import SignServerWorld

AT_ONCE = {"Retry-After": "0"}


class Worker(Intercepted):
    """A worker that wants a client certificate; its own certificate is in a file, and renewed in SignServer alone."""

    response = Response
    busy = Response(503, b"<html>Busy</html>", AT_ONCE)

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        world = SignServerWorld(auth="certificate", key=contract_key(0))
        server = stack.enter_context(SignServer(world, folder))
        super().__init__(server, server.options, folder / "root.pem", server.environment("certificate"))

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.path.endswith("/process")

    @property
    def later_options(self) -> tuple[object, ...]:
        return self.options[-2:]  # the CA of its TLS

    @property
    def spent(self) -> int:
        return len(self.server.world.signed)

    def renew(self) -> None:
        self.server.world.renew(contract_key(1))

    def refuse(self) -> None:
        self.server.world.admitted = frozenset()

    def use_wrong_key(self) -> None:
        self.server.world.wrong_key = contract_key(2)


class Credential(Intercepted):
    """A credential without one-time passwords, of which a second request would wait half a minute for another; the
    renewed certificate is one more credential of the account."""

    response = Response
    busy = wrong(429, "temporarily_unavailable", "Retry later", **AT_ONCE)

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        server = stack.enter_context(ESigner(folder))
        server.account.add(CREDENTIAL, contract_key(0)).otp = False
        super().__init__(server, server.options, folder / "root.pem", server.environment)

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.path.endswith("/signatures/signHash")

    @property
    def later_options(self) -> tuple[object, ...]:
        return ()

    @property
    def spent(self) -> int:
        return len(self.server.account.signed)

    def renew(self) -> None:
        self.server.account.add(f"{CREDENTIAL}-2", contract_key(1))

    def refuse(self) -> None:
        self.server.account.forbidden = True

    def use_wrong_key(self) -> None:
        self.server.account.only.wrong_key = contract_key(2)
