"""What a Google Cloud stand-in holds: a KMS key with versions, service accounts, a workload identity provider."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PROJECT, NUMBER = "contoso-release", "123456789012"
KEY = f"projects/{PROJECT}/locations/europe-west3/keyRings/signing/cryptoKeys/release"
ACCOUNT = f"release@{PROJECT}.iam.gserviceaccount.com"
KEY_ID = "planted-key-id-40c1"
PROVIDER = f"projects/{NUMBER}/locations/global/workloadIdentityPools/ci/providers/pipelines"
METHODS = frozenset({"list", "get", "viewPublicKey", "useToSign"})
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"secp256r1": "EC_SIGN_P256_SHA256", "secp384r1": "EC_SIGN_P384_SHA384"}


@dataclass
class KeyVersion:
    """One version. `algorithm` follows from the key where it is empty."""

    key: SigningKey
    number: int
    state: str = "ENABLED"
    algorithm: str = ""

    def __post_init__(self) -> None:
        if not self.algorithm and isinstance(self.key, rsa.RSAPrivateKey):
            self.algorithm = f"RSA_SIGN_PKCS1_{self.key.key_size}_SHA256"
        elif not self.algorithm and isinstance(self.key, ec.EllipticCurvePrivateKey):
            self.algorithm = _CURVES[self.key.curve.name]

    @property
    def name(self) -> str:
        return f"{KEY}/cryptoKeyVersions/{self.number}"

    @property
    def digest(self) -> str:
        return f"sha{self.algorithm.rpartition('SHA')[2]}"

    @property
    def pem(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, digest: bytes) -> bytes:
        prehashed = Prehashed(HASHES[self.digest])
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(digest, ec.ECDSA(prehashed))
        return self.key.sign(digest, PKCS1v15(), prehashed)


@dataclass
class GoogleWorld:
    """The project's state. `signed` are the digests (hex) that signatures were made of.

    `tokens` are the access tokens with whom they are of; a federated one may impersonate ACCOUNT if `may_impersonate`.
    `oidc_tokens` are those that the provider admits. `account_key` is the service account's public key.
    """

    versions: list[KeyVersion] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    oidc_tokens: set[str] = field(default_factory=set)
    account_key: rsa.RSAPublicKey | None = None
    allowed: frozenset[str] = METHODS
    may_impersonate: bool = True
    life: int = 3600
    ends: dict[str, float] = field(default_factory=dict)
    wrong_key: SigningKey | None = None
    signed: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, key: SigningKey, **sides: object) -> KeyVersion:
        """The next version of the key."""
        made = KeyVersion(key, len(self.versions) + 1, **sides)  # type: ignore[arg-type]  # as the test gives them
        self.versions.append(made)
        return made

    def token(self, who: str) -> str:
        """A new access token."""
        token = f"ya29.{secrets.token_hex(24)}"
        self.tokens[token] = who
        self.ends[token] = time.time() + self.life
        return token
