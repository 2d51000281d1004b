"""The Windows lab's keys and authorities on this system: what its transcripts of SignTool were made with.

KeyLocker's stand-in holds the keys, a timestamp server on loopback stamps, and kspsign answers to SignTool's language.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from kspsign.certificates import der
from kspsign.certificates.parse import thumbprint_of
from kspsign.certsync import write_entry
from kspsign.cli.main import main
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.issue import KeyedCertificate
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.values import SyncedCertificate
from support.digicert_one.fixture import Host, running
from support.formats.peimages import build_pe
from support.pki import TIMESTAMPING, Issued, ca, extended, issue, key_usage, name, signer
from support.timestamping.server import Stamping, Trouble

END = datetime(2046, 12, 31, 23, 59, 59, tzinfo=UTC)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
ALIASES = {
    "Contoso-Release": "Contoso Ltd",
    "Contoso-EC": "Contoso Ltd EC",
    "Contoso-Expired": "Contoso Ltd Expired",
    "Contoso-Server": "Contoso Web Server",
    "Contoso-SelfSigned": "Contoso Ltd SelfSigned",
}
"""The subject of each key pair's certificate."""


@dataclass(frozen=True)
class Ran:
    """A call's exit code and the lines that it printed."""

    code: int
    out: tuple[str, ...]
    err: tuple[str, ...]


@dataclass(frozen=True)
class Pki:
    """The lab's authorities and leaf certificates, by alias."""

    root: Issued
    code_ca: Issued
    stamp_ca: Issued
    responder: Issued
    leaves: Mapping[str, Issued]

    @property
    def named(self) -> dict[str, str]:
        """A name for each thumbprint."""
        authorities = {"root": self.root, "code-ca": self.code_ca, "stamp-ca": self.stamp_ca, "tsa": self.responder}
        return {thumbprint_of(issued.der): alias for alias, issued in {**self.leaves, **authorities}.items()}

    def chain(self, alias: str) -> tuple[Issued, ...]:
        """The issuers of a leaf."""
        return () if alias == "Contoso-SelfSigned" else (self.code_ca, self.root)

    @property
    def authority(self) -> EmbeddedAuthority:
        """What stamps."""
        unit = KeyedCertificate(self.responder.certificate, self.responder.key)  # type: ignore[arg-type]
        return EmbeddedAuthority(unit, unit, unit, unit)

    def stamp(self, query: bytes, authority: EmbeddedAuthority, now: datetime) -> bytes:
        """A reply whose token carries its issuer too, as the lab's does."""
        status, *token = der.parse(respond(query, authority, now)).children()
        return der.sequence(status.der, *(self._with_issuer(part) for part in token))

    def _with_issuer(self, token: der.Element) -> bytes:
        kind, wrapped = token.children()
        fields = [
            der.element(0xA0, part.content + self.stamp_ca.der) if part.tag == 0xA0 else part.der
            for part in wrapped.first().children()
        ]
        return der.sequence(kind.der, der.element(0xA0, der.sequence(*fields)))


def create_pki() -> Pki:
    """Fresh keys under the lab's names."""
    root = ca("Winlab Root CA", begin=BEGIN, end=END)
    code_ca = ca("Winlab Code Signing CA", root, path_length=0, begin=BEGIN, end=END)
    stamp_ca = ca("Winlab Timestamping CA", root, path_length=0, begin=BEGIN, end=END)
    usages = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    stamper = rsa.generate_private_key(65537, 2048)
    responder = issue("Winlab Timestamp Responder", stamp_ca, extensions=usages, key=stamper, begin=BEGIN, end=END)
    for_servers = (extended(ExtendedKeyUsageOID.SERVER_AUTH), key_usage("digital_signature"))
    leaves = {
        "Contoso-Release": signer(
            "Contoso Ltd", code_ca, key=rsa.generate_private_key(65537, 2048), begin=BEGIN, end=END
        ),
        "Contoso-EC": signer("Contoso Ltd EC", code_ca, begin=BEGIN, end=END),
        "Contoso-Expired": signer("Contoso Ltd Expired", code_ca, begin=BEGIN, end=datetime(2024, 1, 1, tzinfo=UTC)),
        "Contoso-Server": issue(name("Contoso Web Server"), code_ca, extensions=for_servers, begin=BEGIN, end=END),
        "Contoso-SelfSigned": signer("Contoso Ltd SelfSigned", begin=BEGIN, end=END),
    }
    return Pki(root, code_ca, stamp_ca, responder, leaves)


@dataclass
class Winlab:
    """One machine with nothing on it: a working folder, a data folder, credentials, a timestamp server."""

    pki: Pki
    host: Host
    folder: Path
    stamps: Stamping
    troubles: list[Trouble] = field(default_factory=list)
    roots: list[Issued] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Of every call: the credentials of DigiCert's client, and the file that names the lab's roots."""
        return {
            **self.host.environment,
            "XDG_DATA_HOME": str(self.folder.parent / "data"),
            "KSPSIGN_CONFIG": str(self.config()),
        }

    @property
    def store(self) -> Path:
        """The portable thumbprint store."""
        return self.folder.parent / "data" / "kspsign" / "store"

    def config(self) -> Path:
        """The configuration file, which trusts the lab's roots."""
        pem, path = self.folder.parent / "roots.pem", self.folder.parent / "kspsign.yml"
        pem.write_bytes(b"".join(root.pem for root in self.roots))
        path.write_text(f"trust_root: [{pem}]\n")
        return path

    def thumbprint(self, alias: str) -> str:
        return thumbprint_of(self.pki.leaves[alias].der)

    def certsync(self, *aliases: str) -> None:
        """Have the certificates in the thumbprint store, as certsync leaves them."""
        for alias in aliases:
            chain = (self.pki.leaves[alias], *self.pki.chain(alias))
            known = tuple(issued.der for issued in chain)
            held = next(held for held in self.host.world.certificates if held.alias == alias)
            reference = {"host": self.host.service.url, "keypair": held.keypair.id, "certificate": held.id}
            entry = SyncedCertificate(thumbprint_of(known[0]), known, alias, "keylocker", reference, test_signing=False)
            write_entry(self.store, entry)

    def program(self, file: str) -> Path:
        """A fresh unsigned image."""
        path = self.folder / file
        path.write_bytes(build_pe(overlay=b"payload" * 500))
        return path

    def presign(self, alias: str, file: str, *, stamped: datetime | None = None) -> Path:
        """An image that osslsigncode signed elsewhere, in the name of `alias`."""
        plain, work = self.program(f"plain-{file}"), self.folder.parent
        issued, chain = self.pki.leaves[alias], work / f"{alias}.pem"
        chain.write_bytes(issued.pem + b"".join(issuer.pem for issuer in self.pki.chain(alias)[:1]))
        command = ["osslsigncode", "sign", "-certs", chain, "-key", _key_file(work, issued), "-h", "sha256"]
        if stamped is not None:
            authority = work / "tsa.pem"
            authority.write_bytes(self.pki.responder.pem + self.pki.stamp_ca.pem)
            stamp = int(stamped.timestamp())
            command += ["-TSA-certs", authority, "-TSA-key", _key_file(work, self.pki.responder), "-TSA-time", stamp]
        signed = self.folder / file
        signed.unlink(missing_ok=True)
        command += ["-in", plain, "-out", signed]
        subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)
        plain.unlink()
        return signed

    def run(self, *arguments: str, **changed: str | None) -> Ran:
        """`kspsign` in the working folder; `changed` variables replace those of the environment, None takes one
        away."""
        variables = {**self.environment, **changed}
        with _variables(variables), contextlib.chdir(self.folder):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(arguments)
        return Ran(code, tuple(out.getvalue().splitlines()), tuple(err.getvalue().splitlines()))

    def signtool(self, *arguments: str, **changed: str | None) -> Ran:
        """`kspsign signtool`."""
        return self.run("signtool", *arguments, **changed)


@dataclass
class Services:
    """What machines reach: KeyLocker's stand-in with every key pair of the lab, and a timestamp server, which meets the
    next of `troubles` first."""

    pki: Pki
    host: Host
    stamps: Stamping
    troubles: list[Trouble]

    def machine(self, folder: Path) -> Winlab:
        """A machine with nothing on it, in `folder`; nothing is spent yet."""
        work = folder / "work"
        work.mkdir()
        self.host.world.signed.clear()
        self.host.service.faults.clear()
        self.troubles.clear()
        return Winlab(self.pki, self.host, work, self.stamps, self.troubles, [self.pki.root])


@contextlib.contextmanager
def services(folder: Path, pki: Pki) -> Iterator[Services]:
    """Running services with files in `folder`."""
    with running(folder) as host:
        for alias, issued in pki.leaves.items():
            pair = host.world.add_keypair(alias, issued.key)  # type: ignore[arg-type]
            host.world.add_certificate(pair, alias, leaf=issued, chain=pki.chain(alias))
        troubles: list[Trouble] = []
        stamping = Stamping(
            pki.authority, trouble=lambda _number: troubles.pop(0) if troubles else None, answer=pki.stamp
        )
        with stamping as server:
            yield Services(pki, host, server, troubles)


@contextlib.contextmanager
def _variables(values: Mapping[str, str | None]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({key: value for key, value in values.items() if value is not None})
    for key in (key for key, value in values.items() if value is None):
        os.environ.pop(key, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _key_file(folder: Path, issued: Issued) -> Path:
    path = folder / f"{thumbprint_of(issued.der)}.key"
    path.write_bytes(issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
