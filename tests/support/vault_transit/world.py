"""What a Vault holds: transit keys with versions, tokens with policies, and its auth methods, in its API's words."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.certificates import rsa_key
from support.pki import Issued, ca, signer

NOW = datetime.now(UTC)
LIVES: dict[str, Any] = {"begin": NOW - timedelta(days=40), "end": NOW + timedelta(days=300)}
TOKEN = "hvs.planted-token-5b1e"  # noqa: S105 - made in the test
ROLE_ID, SECRET_ID = "6a1e-role-id", "planted-secret-id-77c2"
JWT = "planted.jwt.a9d3"
KEY = "release"
EVERYTHING = frozenset({"read", "sign", "lookup"})
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class HeldVersion:
    """One version: its key, and the chain that was set with it, the leaf first."""

    key: SigningKey
    chain: list[Issued] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As keys/NAME shows it."""
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        shown = {"name": "rsa", "public_key": public, "creation_time": "2026-11-01T00:00:00Z"}
        chain = b"".join(issued.pem for issued in self.chain).decode().strip()
        return {**shown, "certificate_chain": chain} if chain else shown


@dataclass
class HeldToken:
    """A token: when it ends (monotonic; None: never), what it may do, whether it can be renewed."""

    end: float | None = None
    rights: frozenset[str] = EVERYTHING
    renewable: bool = False
    ttl: int = 0


@dataclass
class VaultWorld:
    """A Vault with one key, release, whose one version has its certificate.

    `sealed` and `standby` are its state; `ttl` is how long tokens of a login live; `used` are logins and renewals.
    `audited` are the ids of requests that made a signature.
    """

    namespace: str = ""
    mount: str = "transit"
    kind: str = "rsa-2048"
    lowest: int = 0
    sealed: bool = False
    supports_signing: bool = True
    soft_deleted: bool = False
    wrong_key: bool = False
    wrong_version: bool = False
    wrapped: bool = False
    ttl: int = 3600
    rights: frozenset[str] = EVERYTHING
    tokens: dict[str, HeldToken] = field(default_factory=lambda: {TOKEN: HeldToken()})
    jwts: set[str] = field(default_factory=lambda: {JWT})
    versions: dict[int, HeldVersion] = field(default_factory=dict)
    spent: list[tuple[int, str]] = field(default_factory=list)
    audited: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    root: Issued = field(default_factory=lambda: ca("Vault root", **LIVES))

    def __post_init__(self) -> None:
        if not self.versions:
            self.rotate()
            self.certify(1)

    def rotate(self, key: SigningKey | None = None) -> int:
        """A new version, without certificate; its number."""
        number = max(self.versions, default=0) + 1
        self.versions[number] = HeldVersion(key or rsa_key(2048))
        return number

    def certify(self, number: int, **sides: Any) -> Issued:
        """Issue a certificate for a version, and set it."""
        leaf = self.issued(number, **sides)
        self.versions[number].chain = [leaf, self.root]
        return leaf

    def issued(self, number: int, **sides: Any) -> Issued:
        """A certificate for a version that is not set in Vault."""
        return signer("Vault publisher", self.root, key=self.versions[number].key, **{**LIVES, **sides})

    def login(self) -> dict[str, Any]:
        """A token for whoever signed in, as `auth` of the answer."""
        token = f"hvs.login-{secrets.token_hex(12)}"
        self.tokens[token] = HeldToken(time.monotonic() + self.ttl, self.rights, renewable=True, ttl=self.ttl)
        return {
            "client_token": token, "accessor": secrets.token_hex(8), "policies": ["default", "sign"],
            "token_policies": ["default", "sign"], "lease_duration": self.ttl, "renewable": True,
            "token_type": "service",
        }  # fmt: skip

    def holder(self, token: str | None) -> HeldToken | None:
        """The token, if it is known and has not ended."""
        held = self.tokens.get(token or "")
        return held if held is not None and (held.end is None or time.monotonic() < held.end) else None
