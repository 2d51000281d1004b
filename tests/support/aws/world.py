"""What an AWS stand-in holds: KMS keys with their states, access keys, roles, and who may do what."""

from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
REGION, ACCOUNT = "eu-central-1", "111122223333"
ACCESS_KEY, SECRET_KEY = "AKIAPLANTEDEXAMPLE77", "planted/Aws+Secret71c0kspsign/EXAMPLEKEY"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/release-signing"
INSTANCE_ROLE = "build-agents"
CONTAINER_TOKEN = "container-token-planted-8f1e"  # noqa: S105 - made in the test
OPERATIONS = frozenset({"GetPublicKey", "DescribeKey", "Sign", "Verify", "ListKeys", "ListAliases"})
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {
    "secp256r1": ("ECC_NIST_P256", "256"),
    "secp384r1": ("ECC_NIST_P384", "384"),
    "secp521r1": ("ECC_NIST_P521", "512"),
}


@dataclass
class KmsKey:
    """A key of KMS. `spec` and `algorithms` follow from the key; the rest a test sets."""

    key: SigningKey
    usage: str = "SIGN_VERIFY"
    state: str = "Enabled"
    origin: str = "AWS_KMS"
    valid_to: datetime | None = None
    deleted: datetime | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.id}"

    @property
    def spec(self) -> str:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return f"RSA_{self.key.key_size}"
        return _CURVES.get(self.key.curve.name, ("ECC_SECG_P256K1", "256"))[0]

    @property
    def algorithms(self) -> list[str]:
        if self.usage != "SIGN_VERIFY":
            return []
        if isinstance(self.key, rsa.RSAPrivateKey):
            return [f"RSASSA_{family}_SHA_{bits}" for family in ("PKCS1_V1_5", "PSS") for bits in HASHES]
        return [f"ECDSA_SHA_{_CURVES.get(self.key.curve.name, ('', '256'))[1]}"]

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """By the service's name of the algorithm."""
        prehashed = Prehashed(HASHES[algorithm[-3:]])
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(digest, ec.ECDSA(prehashed))
        return self.key.sign(digest, self._padding(algorithm), prehashed)

    def verifies(self, digest: bytes, value: bytes, algorithm: str) -> bool:
        """Whether `value` is the key's signature of `digest`."""
        prehashed, public = Prehashed(HASHES[algorithm[-3:]]), self.key.public_key()
        try:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(value, digest, self._padding(algorithm), prehashed)
            else:
                public.verify(value, digest, ec.ECDSA(prehashed))
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def _padding(algorithm: str) -> AsymmetricPadding:
        if "_PSS_" in algorithm:
            return PSS(MGF1(HASHES[algorithm[-3:]]), PSS.DIGEST_LENGTH)
        return PKCS1v15()


@dataclass
class AccessKey:
    """A secret access key, of a user or a session of a role: the latter has a token and an end."""

    secret: str
    principal: str
    token: str = ""
    end: datetime | None = None


@dataclass
class AwsWorld:
    """The account's state. `signed` are the digests (hex) that signatures were made of, `dry` those of dry runs.

    `oidc_tokens` is by which tokens the role may be assumed. `wrong_key` signs with another key of the same kind.
    `trail` are the ids of requests that made a signature. `offset` is how far the service's clock is off this
    machine's.
    """

    keys: list[KmsKey] = field(default_factory=list)
    aliases: dict[str, KmsKey] = field(default_factory=dict)
    access_keys: dict[str, AccessKey] = field(default_factory=dict)
    oidc_tokens: set[str] = field(default_factory=set)
    allowed: frozenset[str] = OPERATIONS
    trusts_role: bool = True
    wrong_key: SigningKey | None = None
    offset: timedelta = timedelta()
    session_life: timedelta = timedelta(hours=1)
    signed: list[str] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    dry: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    imds_tokens: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.access_keys[ACCESS_KEY] = AccessKey(SECRET_KEY, f"arn:aws:iam::{ACCOUNT}:user/release")

    def add(self, key: SigningKey, alias: str = "", **sides: object) -> KmsKey:
        """A key, and an alias of it."""
        made = KmsKey(key, **sides)  # type: ignore[arg-type]  # as the test gives them
        self.keys.append(made)
        if alias:
            self.aliases[f"alias/{alias}"] = made
        return made

    def session(self, principal: str) -> tuple[str, AccessKey]:
        """A new temporary access key."""
        number = secrets.token_hex(8)
        key = AccessKey(
            f"session-secret-{number}", principal, f"session+token/{number}==", self.now + self.session_life
        )
        access = f"ASIA{number.upper()}"
        self.access_keys[access] = key
        self.sessions.append(principal)
        return access, key

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset
