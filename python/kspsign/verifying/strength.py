"""Accepted algorithms and key strengths: the defaults, and what a policy may allow in addition."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.authenticode.cms.algorithms import HASHES
from kspsign.certificates import der
from kspsign.certificates.parse import outline, to_der
from kspsign.model.values import DigestAlgorithm

CURVES = {"P-256": ec.SECP256R1.name, "P-384": ec.SECP384R1.name, "P-521": ec.SECP521R1.name}
"""The curves that are supported at all: NIST's name, and the library's."""


class Strength(NamedTuple):
    """The digests that count, the smallest RSA modulus in bits, and the curves by NIST's names.

    Keys of other kinds never count.
    """

    digests: frozenset[DigestAlgorithm]
    rsa_bits: int
    curves: frozenset[str]

    def key_weakness(self, certificate: x509.Certificate) -> str | None:
        """Why the certificate's key is not accepted, to follow "the key of X"; None when it is."""
        try:
            key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            return "is of a kind that is not supported"
        if isinstance(key, rsa.RSAPublicKey):
            return None if key.key_size >= self.rsa_bits else f"has only {key.key_size} bits"
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES.values():
            return "is of a kind that is not supported"
        if not _names_curve(certificate):
            return "gives its curve by numbers instead of by name"
        name = next(name for name, curve in CURVES.items() if curve == key.curve.name)
        return None if name in self.curves else f"is on {name}"

    def admits_signature_of(self, certificate: x509.Certificate) -> bool:
        """Whether the signature on a certificate is made over a digest that counts."""
        try:
            made_over = certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return False
        return made_over is not None and made_over.name in {HASHES[digest].name for digest in self.digests}

    def with_all_of(self, other: Strength) -> Strength:
        """What counts by either."""
        return Strength(self.digests | other.digests, min(self.rsa_bits, other.rsa_bits), self.curves | other.curves)


def _names_curve(certificate: x509.Certificate) -> bool:
    """Whether the parameters of an EC key are a curve's name (RFC 5480 §2.1.1): numbers that are almost a known curve's
    let anybody have the known curve's keys."""
    algorithm = der.parse(outline(to_der(certificate)).key).first()
    return [child.tag for child in algorithm.children()] == [der.OID, der.OID]


STRONG = Strength(
    digests=frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}),
    rsa_bits=2048,
    curves=frozenset(CURVES),
)
"""What counts unless a policy says otherwise."""

LEGACY = Strength(STRONG.digests | {DigestAlgorithm.SHA1}, 1024, STRONG.curves)
"""Usual before 2016; for an old signature that a policy tolerates next to a strong one."""
