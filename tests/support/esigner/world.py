"""What SSL.com's eSigner holds: an account, its credentials, authorisations, and who used which one-time password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from support.certificates import shared_key
from support.pki import Issued, ca, signer

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
NOW = datetime.now(UTC)
LIVES: dict[str, Any] = {"begin": NOW - timedelta(days=40), "end": NOW + timedelta(days=300)}
USER, PASSWORD = "release@contoso.example", "esigner-Password-planted-77"
TOTP = base64.b64encode(bytes(range(40, 72))).decode()
CREDENTIAL = "8b072e22-7685-4771-b5c6-48e46614915f"
CLIENT_IDS = {
    "login.ssl.com": "kaXTRACNijSWsFdRKg_KAfD3fqrBlzMbWs6TwWHwAn8",
    "oauth-sandbox.ssl.com": "qOUeZCCzSqgA93acB3LYq6lBNjgZdiOxQc-KayC3UMw",
}
"""What SSL.com's own programs say that they are."""
OIDS: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.1.11": ("RSA", hashes.SHA256()),
    "1.2.840.113549.1.1.12": ("RSA", hashes.SHA384()),
    "1.2.840.113549.1.1.13": ("RSA", hashes.SHA512()),
    "1.2.840.10045.4.3.2": ("EC", hashes.SHA256()),
    "1.2.840.10045.4.3.3": ("EC", hashes.SHA384()),
    "1.2.840.10045.4.3.4": ("EC", hashes.SHA512()),
}


def password_at(secret: str, window: int) -> str:
    """RFC 6238, from its text."""
    mac = hmac.new(base64.b64decode(secret), struct.pack(">Q", window), hashlib.sha1).digest()
    start = mac[19] & 15
    return str((struct.unpack(">I", mac[start : start + 4])[0] & 0x7FFFFFFF) % 1000000).zfill(6)


@dataclass
class HeldCredential:
    """One credential. `otp` is whether an authorisation takes a one-time password; `multisign` as in the API."""

    id: str
    key: SigningKey
    chain: tuple[Issued, ...]
    status: str = "enabled"
    otp: bool = True
    otp_type: str = "offline"
    pin: bool = False
    multisign: bool = True
    scan: bool = False
    algorithms: tuple[str, ...] = ()
    wrong_key: SigningKey | None = None

    @property
    def offered(self) -> list[str]:
        """The OIDs of its signature algorithms."""
        kind = "RSA" if isinstance(self.key, rsa.RSAPrivateKey) else "EC"
        return list(self.algorithms) or [oid for oid, (family, _hash) in OIDS.items() if family == kind]

    def sign(self, digest: bytes, oid: str) -> bytes:
        key, hashing = self.wrong_key or self.key, Prehashed(OIDS[oid][1])
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(digest, ec.ECDSA(hashing))
        return key.sign(digest, padding.PKCS1v15(), hashing)


@dataclass
class ESignerWorld:
    """An account with one credential.

    `ahead` are the seconds by which the service's clock is before this machine's. `refused_otps` and
    `refused_passwords` are counted; after three the account is locked. `malware` are the SHA-256 (base64) of files that
    the scan finds something in. `signed` are the digests (hex) that signatures were made of; `left` is the quota.
    """

    password: str = PASSWORD
    totp: str = TOTP
    ahead: float = 0.0
    life: int = 3600
    left: int | None = None
    short: int = 0
    forbidden: bool = False
    credentials: dict[str, HeldCredential] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    sads: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    used_sads: list[str] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    scanned: dict[str, str] = field(default_factory=dict)
    malware: set[str] = field(default_factory=set)
    refused_otps: int = 0
    refused_passwords: int = 0
    logins: int = 0
    authorized: list[int] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    root: Issued = field(default_factory=lambda: ca("eSigner root", **LIVES))

    def __post_init__(self) -> None:
        self.issuer = ca("eSigner code signing", self.root, **LIVES)
        self.add(CREDENTIAL)

    def add(
        self, identifier: str, key: SigningKey | None = None, subject: str = "eSigner publisher", **sides: Any
    ) -> HeldCredential:
        """A further credential, with a certificate of its own."""
        key = key or shared_key(0)
        leaf = signer(subject, self.issuer, key=key, **{**LIVES, **sides})
        made = self.credentials[identifier] = HeldCredential(identifier, key, (leaf, self.issuer, self.root))
        return made

    @property
    def only(self) -> HeldCredential:
        """The first credential."""
        return self.credentials[CREDENTIAL]

    def now(self) -> float:
        """The service's time."""
        return time.time() + self.ahead

    def token(self) -> str:
        """A new access token."""
        token = f"esigner-token-{secrets.token_hex(16)}"
        self.tokens[token] = time.monotonic() + self.life
        return token

    def take(self, otp: str) -> str | None:
        """Why the one-time password is refused; None when it is accepted: of this window or one next to it, once."""
        current = int(self.now() // 30)
        near = (current, current - 1, current + 1)
        window = next((number for number in near if password_at(self.totp, number) == otp), 0)
        if not window or window in self.windows:
            self.refused_otps += 1
            return "The OTP is invalid"
        self.windows.append(window)
        return None
