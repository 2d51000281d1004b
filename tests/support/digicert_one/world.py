"""What a DigiCert ONE account holds: users, key pairs with real keys, certificates, a quota, signatures."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from support.pki import Issued, ca, new_key, signer

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512(),
}  # fmt: skip


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Account:
    name: str
    id: str = field(default_factory=new_id)


@dataclass(frozen=True)
class User:
    """Known by an API key and a client certificate with this common name."""

    name: str
    api_key: str


@dataclass
class Keypair:
    """`signers` are the users who may use it, None: all; `team` restricts it to a team that nobody is in."""

    alias: str
    key: SigningKey
    account: Account
    id: str = field(default_factory=new_id)
    status: str = "ONLINE"
    kind: str = "PRODUCTION"
    signers: frozenset[str] | None = None
    team: bool = False
    quota: int = 1000

    def may_sign(self, user: User) -> bool:
        return not self.team and (self.signers is None or user.name in self.signers)


@dataclass
class Certificate:
    """`chain` are the issuers as the service sends them, in whatever order."""

    alias: str | None
    leaf: Issued
    chain: tuple[Issued, ...]
    keypair: Keypair
    id: str = field(default_factory=new_id)
    status: str = "ACTIVE"


class World:
    """One host's accounts; safe to share between threads."""

    def __init__(self) -> None:
        self.account = Account("Example Ltd")
        self.user = User("ci.signer", f"01a2b3c4_{uuid.uuid4().hex}{uuid.uuid4().hex}")
        self.keypairs: list[Keypair] = []
        self.certificates: list[Certificate] = []
        self.signatures: dict[str, bytes] = {}
        self.signed: list[bytes] = []
        self.root = ca("Stand-in Code Signing Root", end=NOW + 3650 * DAY)
        self.intermediate = ca("Stand-in Code Signing CA", self.root, end=NOW + 3000 * DAY)
        self._lock = threading.Lock()

    @property
    def spent(self) -> int:
        """Signatures made; `signed` has the digest of each."""
        return len(self.signed)

    def add_keypair(self, alias: str, key: SigningKey | None = None, account: Account | None = None) -> Keypair:
        pair = Keypair(alias, key or new_key(), account or self.account)
        self.keypairs.append(pair)
        return pair

    def add_certificate(
        self, keypair: Keypair, alias: str, *, leaf: Issued | None = None, chain: Sequence[Issued] | None = None,
        begin: datetime = NOW - 30 * DAY, end: datetime = NOW + 300 * DAY,
    ) -> Certificate:  # fmt: skip
        """A code-signing certificate of the account's CA, or `leaf` as it is."""
        made = leaf or signer("Example Ltd", self.intermediate, key=keypair.key, begin=begin, end=end)
        given = (self.intermediate, self.root) if chain is None else tuple(chain)
        certificate = Certificate(alias, made, given, keypair)
        self.certificates.append(certificate)
        return certificate

    def sign(self, keypair: Keypair, hash_name: str, digest: bytes) -> str | None:
        """Make and keep one signature: its id; None when the quota is used up."""
        with self._lock:
            if keypair.quota <= 0:
                return None
            keypair.quota -= 1
            self.signed.append(digest)
            identifier = new_id()
            prehashed = Prehashed(HASHES[hash_name])
            if isinstance(keypair.key, rsa.RSAPrivateKey):
                value = keypair.key.sign(digest, PKCS1v15(), prehashed)
            else:
                value = keypair.key.sign(digest, ec.ECDSA(prehashed))
            self.signatures[identifier] = value
            return identifier
