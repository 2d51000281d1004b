"""KeyLocker, a program, a token and a file in the contract."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from kspsign.embedded.authority import EmbeddedAuthority
from support import softhsm
from support.certificates import PASSWORD, PASSWORD_VARIABLE
from support.digicert_one import wire
from support.digicert_one.answers import Request, Response
from support.digicert_one.fixture import running
from support.digicert_one.server import Fault
from support.key_command.world import KeyCommand
from support.key_contract.bench import SLOW_SECONDS, ContractStore, certificate_of, contract_key, contract_root


class KeyLocker(ContractStore):
    """A key pair with its certificate; a renewal is another key pair under the same alias."""

    def __init__(self, folder: Path, stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        self.host = stack.enter_context(running(folder))
        self._issue(0)
        roots = folder / "roots.pem"
        roots.write_bytes(contract_root().pem)
        options = ("--key-store", "keylocker", "--keypair-alias", "release")
        super().__init__(options, roots, self.host.environment)

    def _issue(self, number: int) -> None:
        pair = self.host.world.add_keypair("release", contract_key(number))
        leaf = certificate_of(number)
        self.host.world.add_certificate(pair, f"release {number}", leaf=leaf, chain=(contract_root(),))

    def _fault(self, response: Response | None, *, after: bool = False, times: int = 1) -> None:
        self.host.service.faults.append(Fault("POST", "/sign", response, after=after, times=times))

    @property
    def spent(self) -> int:
        return self.host.world.spent

    def renew(self) -> None:
        self._issue(1)

    def renew_between(self) -> None:
        def spoil(request: Request) -> Request:
            if request.method == "POST" and self.spent == 1 and len(self.host.world.keypairs) == 1:
                self._issue(1)
            return request

        self.host.service.spoil = spoil

    def be_busy(self, times: int) -> None:
        answer = Response(429, wire.error("too_many_requests", "slow down"), {"Retry-After": "0"})
        self._fault(answer, times=times)

    def lose(self) -> None:
        self._fault(None, after=True)

    def refuse(self) -> None:
        def spoil(request: Request) -> Request:
            if request.method == "POST":
                self.host.world.keypairs[0].signers = frozenset({"somebody else"})
            return request

        self.host.service.spoil = spoil

    def use_wrong_key(self) -> None:
        def spoil(request: Request) -> Request:
            if request.method == "POST":
                self.host.world.keypairs[0].key = contract_key(2)
            return request

        self.host.service.spoil = spoil

    def be_slow(self) -> None:
        self.host.service.latency = SLOW_SECONDS

    def answer(self, body: bytes, content_type: str) -> None:
        self._fault(Response(200, body, {"Content-Type": content_type}))


class Command(ContractStore):
    """A program of the user's."""

    def __init__(self, folder: Path, _stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        self.program = KeyCommand.create(folder)
        trust = folder / "root.pem"
        super().__init__(self.program.options, trust, self.program.environment)

    @property
    def spent(self) -> int:
        return self.program.made

    def renew(self) -> None:
        for name in ("key", "chain"):
            (self.program.folder / f"{name}2.pem").replace(self.program.folder / f"{name}.pem")

    def renew_between(self) -> None:
        self.program.behave(rotate_after=1)

    def be_busy(self, times: int) -> None:
        busy = {"kind": "busy", "message": "no free session", "retry_after": 0}
        self.program.behave(sign_error=busy, sign_error_times=times)

    def lose(self) -> None:
        self.program.behave(lost=1, lost_times=1)

    def refuse(self) -> None:
        self.program.behave(sign_error={"kind": "refused", "message": "key usage count reached"})

    def use_wrong_key(self) -> None:
        self.program.behave(wrong_key=True)

    def be_slow(self) -> None:
        self.program.behave(sign_seconds=SLOW_SECONDS)

    def answer(self, body: bytes, _content_type: str) -> None:
        self.program.behave(sign_text=body.decode())


class Token(ContractStore):
    """A token with a key and its certificate; a renewal brings others. It counts no signatures."""

    def __init__(self, folder: Path, _stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        self.token = softhsm.create(folder / "token", "contract")
        self._import(0, "release")
        roots = folder / "roots.pem"
        roots.write_bytes(contract_root().pem)
        super().__init__(self.token.options("release"), roots, self.token.environment)

    def _import(self, number: int, label: str) -> None:
        self.token.import_key(contract_key(number), label, f"0{number}")
        self.token.import_certificate(certificate_of(number), label, f"0{number}")

    def renew(self) -> None:
        self._import(1, "renewed")


class Pkcs12File(ContractStore):
    """A file with key and certificate, which a renewal replaces."""

    def __init__(self, folder: Path, _stack: ExitStack, _authority: EmbeddedAuthority) -> None:
        self.path, roots = folder / "code.p12", folder / "roots.pem"
        roots.write_bytes(contract_root().pem)
        self._write(0)
        options = ("--key-store", "pkcs12", "--pkcs12", self.path, "--password-env", PASSWORD_VARIABLE)
        super().__init__(options, roots, {PASSWORD_VARIABLE: PASSWORD})

    def _write(self, number: int) -> None:
        encryption = BestAvailableEncryption(PASSWORD.encode())
        issuers = [contract_root().certificate]
        leaf = certificate_of(number).certificate
        self.path.write_bytes(
            pkcs12.serialize_key_and_certificates(b"release", contract_key(number), leaf, issuers, encryption)
        )

    def renew(self) -> None:
        self._write(1)
