"""AWS KMS, Google Cloud KMS and Vault in the contract: their certificates come from a file, or are set with the key."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kspsign.embedded.authority import EmbeddedAuthority
from support.aws.kms import exception
from support.aws.server import ALIAS, Aws
from support.google.kms import failure
from support.google.server import Google
from support.google.world import KEY, METHODS
from support.key_contract.bench import Intercepted, certificate_of, contract_key, contract_root
from support.key_vault.answers import Request, Response
from support.vault_transit.answers import VaultRequest, VaultResponse
from support.vault_transit.server import TransitServer
from support.vault_transit.world import TOKEN, HeldToken, HeldVersion, VaultWorld

AT_ONCE = {"Retry-After": "0"}


def write_certificates(folder: Path, *numbers: int) -> Path:
    """The certificates for these keys in one file, and their root in another."""
    (folder / "roots.pem").write_bytes(contract_root().pem)
    path = folder / "code.pem"
    path.write_bytes(b"".join(certificate_of(number).pem for number in numbers) + contract_root().pem)
    return path


class AwsKms(Intercepted):
    """A key with an alias, and its certificate in a file."""

    response = Response
    busy = exception("ThrottlingException", "Rate exceeded", **AT_ONCE)

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        server = stack.enter_context(Aws(folder))
        server.aws.add(contract_key(0), ALIAS.removeprefix("alias/"))
        self.folder = folder
        certificate = write_certificates(folder, 0)
        options = ("--key-store", "aws-kms", "--kms-key", ALIAS, "--kms-endpoint", server.endpoint)
        super().__init__(server, (*options, "--certificate", certificate), folder / "roots.pem", server.keys)

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.headers.get("x-amz-target") == "TrentService.Sign"

    @property
    def later_options(self) -> tuple[object, ...]:
        return ()

    @property
    def spent(self) -> int:
        return len(self.server.aws.signed)

    def renew(self) -> None:
        self.server.aws.add(contract_key(1), ALIAS.removeprefix("alias/"))
        write_certificates(self.folder, 0, 1)

    def refuse(self) -> None:
        self.server.aws.allowed = frozenset({"GetPublicKey", "DescribeKey"})

    def use_wrong_key(self) -> None:
        self.server.aws.wrong_key = contract_key(2)


class GoogleKms(Intercepted):
    """A key with one version, and its certificate in a file."""

    response = Response
    busy = failure(429, "RESOURCE_EXHAUSTED", "Quota exceeded", **AT_ONCE)

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        server = stack.enter_context(Google(folder))
        server.google.add(contract_key(0))
        self.folder = folder
        certificate = write_certificates(folder, 0)
        options = ("--key-store", "google-cloud-kms", "--kms-key", KEY, "--kms-endpoint", server.endpoint)
        super().__init__(server, (*options, "--certificate", certificate), folder / "roots.pem", server.machine)

    @staticmethod
    def is_sign(request: Request) -> bool:
        return request.path.endswith(":asymmetricSign")

    @property
    def later_options(self) -> tuple[object, ...]:
        return ()

    @property
    def spent(self) -> int:
        return len(self.server.google.signed)

    def renew(self) -> None:
        self.server.google.add(contract_key(1))
        write_certificates(self.folder, 0, 1)

    def refuse(self) -> None:
        self.server.google.allowed = METHODS - {"useToSign"}

    def use_wrong_key(self) -> None:
        self.server.google.wrong_key = contract_key(2)


class Transit(Intercepted):
    """A transit key whose versions have their certificates set in Vault."""

    response = VaultResponse
    busy = VaultResponse(429, {"errors": ["rate limit quota exceeded"]}, AT_ONCE)

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        world = VaultWorld(versions={1: self._version(0)}, root=contract_root())
        server = stack.enter_context(TransitServer(world, folder))
        super().__init__(server, server.options, folder / "root.pem", server.environment)

    @staticmethod
    def _version(number: int) -> HeldVersion:
        return HeldVersion(contract_key(number), [certificate_of(number), contract_root()])

    @staticmethod
    def is_sign(request: VaultRequest) -> bool:
        return "/sign/" in request.path

    @property
    def spent(self) -> int:
        return len(self.server.world.spent)

    def renew(self) -> None:
        self.server.world.versions[2] = self._version(1)

    def refuse(self) -> None:
        self.server.world.tokens[TOKEN] = HeldToken(rights=frozenset({"read", "lookup"}))

    def use_wrong_key(self) -> None:
        self.server.world.wrong_key = True
