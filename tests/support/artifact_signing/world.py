"""What an Artifact Signing stand-in holds: an account with a profile, whose certificate and key change at any time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.certificates.parse import thumbprint_of
from support.certificates import rsa_key
from support.pki import CODE_SIGNING, Issued, ca, extended, issue, key_usage

REGION, ACCOUNT, PROFILE = "weu", "contoso-signing", "release"
HOST = f"{REGION}.codesigning.azure.net"
ENDPOINT = f"https://{HOST}"
RESOURCE = "https://codesigning.azure.net"
SUBJECT = "Contoso Ltd"
PUBLIC_TRUST = x509.ObjectIdentifier("1.3.6.1.4.1.311.97.1.0")
DURABLE = x509.ObjectIdentifier("1.3.6.1.4.1.311.97.582583348.60639889.931047247.527193355")
STRANGER = x509.ObjectIdentifier("1.3.6.1.4.1.311.97.990309390.766961637.194916062.941502583")
"""Another subscriber's."""

HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
ALGORITHMS = frozenset(f"{family}{bits}" for family in ("RS", "PS") for bits in HASHES)


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """RSA keys that all worlds of a test process share: number 0 to 2 are the profile's, others the issuers'."""
    return rsa_key(3072 if number < 3 else 2048)


@dataclass
class Operation:
    """One signature that was asked for: made when `ready`, `status` says otherwise only where it failed."""

    signature: bytes
    certificates: tuple[Issued, ...]
    ready: float
    status: str = "Succeeded"
    polls: int = 0

    @property
    def done(self) -> bool:
        return time.monotonic() >= self.ready


@dataclass
class SigningWorld:
    """The service's state, and its ways, which a test sets.

    `seconds` is how long an operation takes, `rotate_every` after how many signatures another certificate signs.
    `restless` is how often the certificate is replaced between `certchain` and the signature. `outcome` is what
    operations end in, `wrong_key` signs with a key that is not the certificate's. `double` encodes the certificates
    twice, `result` puts the answer below `result`, `root_first` turns the order.
    """

    tokens: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    rotate_every: int | None = None
    restless: int = 0
    outcome: str = "Succeeded"
    running: str = "InProgress"
    wrong_key: bool = False
    double: bool = True
    result: bool = False
    root_first: bool = False
    at_once: bool = False
    without_certificates: bool = False
    subject: str = SUBJECT
    durable: x509.ObjectIdentifier | None = DURABLE
    enrolled: bool = True
    spent: list[tuple[str, str]] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    correlations: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        sides: dict[str, Any] = {"begin": now - timedelta(days=400), "end": now + timedelta(days=4000)}
        self.root = ca("Identity Verification Root 2020", key=_key(3), **sides)
        self._middle = ca("ID Verified Code Signing PCA 2021", self.root, key=_key(4), **sides)
        names = ("ID Verified CS EOC CA 03", "ID Verified CS AOC CA 04")
        self._issuers = [ca(name, self._middle, key=_key(5 + n), **sides) for n, name in enumerate(names)]
        self._number = 0
        self.leaf = self._issue()

    def rotate(self) -> None:
        """Another certificate signs from now on: another key, another issuer."""
        with self.lock:
            self._number += 1
            self.leaf = self._issue()

    def _issue(self) -> Issued:
        begin = datetime.now(UTC) - timedelta(hours=12)
        usages = (PUBLIC_TRUST, CODE_SIGNING, *((self.durable,) if self.durable else ()))
        return issue(
            self.subject,
            self._issuers[self._number % 2],
            extensions=(extended(*usages), key_usage("digital_signature")),
            key=_key(self._number % 2),
            begin=begin,
            end=begin + timedelta(days=3),
        )

    @property
    def chain(self) -> tuple[Issued, ...]:
        """The certificate that signs next, and its issuers."""
        return self._chain_of(self.leaf)

    def _chain_of(self, leaf: Issued) -> tuple[Issued, ...]:
        issuer = next(issuer for issuer in self._issuers if issuer.certificate.subject == leaf.certificate.issuer)
        chain = (leaf, issuer, self._middle, self.root)
        return chain[::-1] if self.root_first else chain

    def begin(self, algorithm: str, digest: bytes) -> str:
        """A signature is paid for; returns the operation's id."""
        with self.lock:
            if self.restless > 0:
                self.restless -= 1
                self.rotate()
            key = _key(2) if self.wrong_key else self.leaf.key
            assert isinstance(key, rsa.RSAPrivateKey)
            padding: AsymmetricPadding = PKCS1v15()
            if algorithm.startswith("PS"):
                padding = PSS(MGF1(HASHES[algorithm[2:]]), PSS.DIGEST_LENGTH)
            value = key.sign(digest, padding, Prehashed(HASHES[algorithm[2:]]))
            identifier = f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}"
            ready = time.monotonic() + self.seconds
            self.operations[identifier] = Operation(value, self.chain, ready, self.outcome)
            if self.outcome == "Succeeded":
                self.spent.append((digest.hex(), thumbprint_of(self.leaf.der)))
            if self.rotate_every and len(self.spent) % self.rotate_every == 0:
                self.rotate()
        return identifier


def certificates_only(chain: tuple[Issued, ...]) -> bytes:
    """PKCS#7 without a signer (RFC 5652 §5.2) in exactly this order, as the service sends it; DER would sort it."""
    held = b"".join(issued.der for issued in chain)
    signed = _element(0x02, b"\x01") + _element(0x31) + _element(0x30, _DATA) + _element(0xA0, held) + _element(0x31)
    return _element(0x30, _SIGNED_DATA + _element(0xA0, _element(0x30, signed)))


def _element(tag: int, content: bytes = b"") -> bytes:
    """Tag, length, content (X.690 §8.1)."""
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([128 | len(octets)]) + octets) + content


_DATA, _SIGNED_DATA = (bytes.fromhex(f"06092a864886f70d01070{number}") for number in (1, 2))
