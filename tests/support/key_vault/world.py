"""What a Key Vault stand-in holds: vaults with real keys and certificates, identities, and who may do what."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CLIENT_SECRET = "entra~planted.Secret-91b7"  # noqa: S105 - made in the test
ACCESS_TOKEN = "system-access-token-planted-52c0"  # noqa: S105 - made in the test
IDENTITY_HEADER = "identity-header-planted-c7d1"
SYSTEM_ASSIGNED, USER_ASSIGNED = "00000000-aaaa-0000-0000-000000000001", "00000000-bbbb-0000-0000-000000000002"
IDENTITIES = {None: SYSTEM_ASSIGNED, USER_ASSIGNED: USER_ASSIGNED}
"""The machine's managed identities, by the client id that is asked for; None asks for the machine's own."""
JOB_TOKEN = "job-token-of-github-planted-0d4f"  # noqa: S105 - made in the test
CONNECTION = "99999999-8888-7777-6666-555555555555"
EVERYTHING = frozenset(
    {"keys/get", "keys/list", "keys/sign", "keys/verify", "certificates/get", "certificates/list", "secrets/get"}
)

HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"), "secp521r1": ("P-521", "ES512")}


@dataclass
class Version:
    """One version of a key, with its certificate if it has one; `chain` stands in the certificate's secret.

    `operations` are what the key is permitted, `expires` is the key's own end where it is not the certificate's, and a
    `pending` certificate is a request that the CA has not answered.
    """

    key: SigningKey
    certificate: x509.Certificate | None = None
    chain: tuple[x509.Certificate, ...] = ()
    enabled: bool = True
    exportable: bool = False
    operations: tuple[str, ...] = ("sign", "verify")
    expires: datetime | None = None
    pending: bool = False
    version: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def key_properties(self) -> dict[str, object]:
        """The key's part of the certificate's policy (key_props)."""
        common = {"exportable": self.exportable, "reuse_key": False}
        if isinstance(self.key, rsa.RSAPrivateKey):
            return {**common, "kty": "RSA-HSM", "key_size": self.key.key_size}
        return {**common, "kty": "EC-HSM", "crv": CURVES[self.key.curve.name][0]}

    @property
    def expired(self) -> bool:
        """Whether the service signs with it no more."""
        return self.expires is not None and self.expires < datetime.now(UTC)

    def algorithms(self) -> set[str]:
        """What the service signs with this key."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
        return {CURVES[self.key.curve.name][1]}

    def sign(self, algorithm: str, digest: bytes) -> bytes:
        """RSA as bytes, ECDSA as r and s side by side."""
        chosen = Prehashed(HASHES[algorithm[2:]])
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(digest, self._padding(algorithm), chosen)
        r, s = decode_dss_signature(self.key.sign(digest, ec.ECDSA(chosen)))
        size = (self.key.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)

    def verifies(self, algorithm: str, digest: bytes, value: bytes) -> bool:
        """Whether `value` is the key's signature of `digest`."""
        chosen, public = Prehashed(HASHES[algorithm[2:]]), self.key.public_key()
        try:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(value, digest, self._padding(algorithm), chosen)
            else:
                half = len(value) // 2
                numbers = int.from_bytes(value[:half]), int.from_bytes(value[half:])
                public.verify(encode_dss_signature(*numbers), digest, ec.ECDSA(chosen))
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def _padding(algorithm: str) -> AsymmetricPadding:
        """RSASSA-PSS with a salt of the digest's length for PS256 and the like (RFC 7518 §3.5)."""
        hashing = HASHES[algorithm[2:]]
        return PSS(MGF1(hashing), PSS.DIGEST_LENGTH) if algorithm.startswith("PS") else PKCS1v15()

    def jwk(self, identifier: str) -> dict[str, object]:
        """The public key as the service shows it (RFC 7517)."""
        common: dict[str, object] = {"kid": identifier, "key_ops": [*self.operations]}
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            return {**common, "kty": "RSA-HSM", "n": _number(numbers.n), "e": _number(numbers.e)}
        size, point = (self.key.key_size + 7) // 8, self.key.public_key().public_numbers()
        curve = CURVES[self.key.curve.name][0]
        return {**common, "kty": "EC-HSM", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}

    def pem_chain(self) -> str:
        """What the secret of a certificate without exportable key holds."""
        assert self.certificate is not None
        return "".join(
            certificate.public_bytes(Encoding.PEM).decode() for certificate in (self.certificate, *self.chain)
        )


@dataclass
class World:
    """Vaults by host name, each with versions by name, oldest first; what the identity may; what is asked of whom.

    `firewall` shuts the agent's address out. `wrong_key` signs in the place of every key; `signed` are the digests
    (hex) that signatures were made of. The application is trusted by `oidc_tokens` of other providers and by
    `certificates`; GitHub's tokens are among the former if they are for `audience`.
    """

    vaults: dict[str, dict[str, list[Version]]]
    permissions: frozenset[str] = EVERYTHING
    firewall: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    oidc_tokens: set[str] = field(default_factory=set)
    certificates: list[x509.Certificate] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    wrong_key: SigningKey | None = None
    audience: str = "api://AzureADTokenExchange"


def url64(content: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(value: int, size: int | None = None) -> str:
    return url64(value.to_bytes(size or (value.bit_length() + 7) // 8))
