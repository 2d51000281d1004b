"""What a SignServer holds: workers with a key, a certificate, properties and an authorizer."""

from __future__ import annotations

import hashlib
import threading
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
WORKER, NUMBER = "CodeSigner", 7
USER, PASSWORD = "build", "signserver-Password-planted-41"
TOKEN = "signserver.bearer.planted-9d2f"  # noqa: S105 - made in the test
CLIENT = "build agent"
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}


@dataclass
class SignServerWorld:
    """A server with one PlainSigner worker, CodeSigner, of id 7.

    `auth` is its AUTHTYPE in short: none, basic, token, certificate. `hashing` and `override` are CLIENTSIDEHASHING and
    ALLOW_CLIENTSIDEHASHING_OVERRIDE, `algorithm` is SIGNATUREALGORITHM, `accepted` the accepted digests, `limit`
    KEYUSAGELIMIT. `wrong_key` signs in the place of the certificate's key. `signed` are the digests (hex) that
    signatures were made of, `logged` the ids of their requests.
    """

    auth: str = "none"
    password: str = PASSWORD
    hashing: bool = True
    override: bool = False
    algorithm: str = ""
    accepted: frozenset[str] = frozenset(HASHES)
    disabled: bool = False
    offline: bool = False
    misconfigured: bool = False
    limit: int | None = None
    admitted: frozenset[str] = frozenset({CLIENT})
    healthy: bool | None = None
    shows_certificate: bool = True
    wrong_key: SigningKey | None = None
    key: SigningKey = field(default_factory=lambda: shared_key(0))
    signed: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    root: Issued = field(default_factory=lambda: ca("SignServer root", **LIVES))

    def __post_init__(self) -> None:
        self.issuer = ca("SignServer issuer", self.root, **LIVES)
        self.leaf = self.issue()

    def issue(self, subject: str = "SignServer publisher", **sides: Any) -> Issued:
        """A certificate of the worker's key."""
        return signer(subject, self.issuer, key=self.key, **{**LIVES, **sides})

    def renew(self, key: SigningKey | None = None, subject: str = "SignServer publisher") -> None:
        """Another key and certificate from now on."""
        with self.lock:
            self.key = key or shared_key(int(self.key is shared_key(0)))
            self.leaf = self.issue(subject)

    @property
    def file(self) -> bytes:
        """The certificate with its issuers, as an administrator downloads it."""
        return self.leaf.pem + self.issuer.pem + self.root.pem

    def sign(self, data: bytes, name: str | None) -> bytes:
        """As PlainSigner does with its algorithm; `name` is the digest algorithm of a hash, None for plain data."""
        key = self.wrong_key or self.key
        algorithm = self.algorithm or ("NONEwithRSA" if isinstance(key, rsa.RSAPrivateKey) else "NONEwithECDSA")
        hashing: hashes.HashAlgorithm | Prehashed
        if algorithm.startswith("NONE"):
            if name is None:
                raise ValueError("unknown padding")
            hashing, digest = Prehashed(HASHES[name]), HASHES[name]
        else:
            digest = HASHES[algorithm.partition("with")[0].replace("SHA", "SHA-")]
            hashing = digest
        self.signed.append(data.hex() if name else hashlib.sha256(data).hexdigest())
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(hashing))
        if algorithm.endswith("andMGF1"):
            return key.sign(data, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), hashing)
        return key.sign(data, padding.PKCS1v15(), hashing)
