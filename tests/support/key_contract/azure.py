"""Azure's key stores in the contract."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import PROFILE_OPTIONS, ArtifactSigning
from support.key_contract.bench import Intercepted, certificate_of, contract_key, contract_root
from support.key_vault.answers import Request, Response, error
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, EVERYTHING, TENANT, Version, World

VAULT = "contract.vault.azure.net"
WHO = ("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)


class KeyVault(Intercepted):
    """A vault with one certificate, which is named without a version."""

    response = Response
    busy = Response(429, error(429, "Throttled", "slow down").content, {"Retry-After": "0"})

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        self.world = World({VAULT: {"release": [self._version(0)]}})
        server = stack.enter_context(Azure(self.world, folder))
        (folder / "roots.pem").write_bytes(contract_root().pem)
        identifier = f"https://{VAULT}/certificates/release"
        options = ("--key-store", "azure-key-vault", "--key-identifier", identifier, *WHO)
        super().__init__(server, options, folder / "roots.pem", server.environment)

    @staticmethod
    def _version(number: int) -> Version:
        return Version(contract_key(number), certificate_of(number).certificate, (contract_root().certificate,))

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.path.endswith("/sign")

    @property
    def spent(self) -> int:
        return len(self.world.signed)

    def renew(self) -> None:
        self.world.vaults[VAULT]["release"].append(self._version(1))

    def refuse(self) -> None:
        self.world.permissions = EVERYTHING - {"keys/sign"}

    def use_wrong_key(self) -> None:
        self.world.wrong_key = contract_key(2)


class Profile(Intercepted):
    """A certificate profile, whose certificate the service replaces."""

    needs_timestamp = True
    response = Response
    busy = Response(429, b"", {"Retry-After": "0"})

    def __init__(self, folder: Path, stack: ExitStack, authority: EmbeddedAuthority) -> None:
        server = stack.enter_context(ArtifactSigning(folder, authority))
        options = ("--key-store", "azure-artifact-signing", *PROFILE_OPTIONS, *WHO)
        super().__init__(server, options, server.roots, server.environment)

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.method == "POST" and request.path.endswith("/sign")

    @property
    def spent(self) -> int:
        return len(self.server.signing.spent)

    def renew(self) -> None:
        self.server.signing.rotate()

    def refuse(self) -> None:
        self.at_signature(lambda _number: Response(403, b""))

    def use_wrong_key(self) -> None:
        self.server.signing.wrong_key = True
