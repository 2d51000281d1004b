"""Signature and digest algorithms as CMS names them (RFC 5754, RFC 8017 §A, RFC 5758)."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.model import DigestAlgorithm

HASHES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    DigestAlgorithm.SHA1: hashes.SHA1(),  # noqa: S303 - read in old signatures, refused by the verifier's policy
    DigestAlgorithm.SHA256: hashes.SHA256(),
    DigestAlgorithm.SHA384: hashes.SHA384(),
    DigestAlgorithm.SHA512: hashes.SHA512(),
}
OID_RSA_PSS = "1.2.840.113549.1.1.10"


def digest_algorithm(identifier: Any) -> DigestAlgorithm | None:
    """The algorithm of an asn1crypto DigestAlgorithm value, None when it is not one of ours (MD5 and the like)."""
    try:
        return DigestAlgorithm(identifier["algorithm"].native)
    except ValueError:
        return None


def signature_holds(
    public_key: object, signature: bytes, digest: bytes, algorithm: DigestAlgorithm, *, pss: bool = False
) -> bool:
    """Whether `signature` over `digest` (made with `algorithm`) was made by the key; other key types never hold."""
    prehashed = Prehashed(HASHES[algorithm])
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            scheme: padding.AsymmetricPadding = padding.PKCS1v15()
            if pss:
                scheme = padding.PSS(padding.MGF1(HASHES[algorithm]), padding.PSS.AUTO)
            public_key.verify(signature, digest, scheme, prehashed)
        elif isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, digest, ec.ECDSA(prehashed))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
