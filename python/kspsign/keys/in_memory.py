"""Signs with a private key in this process's memory: what the embedded and the PKCS#12 store share."""

from __future__ import annotations

import os
import secrets
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.certificates.parse import parse_certificate
from kspsign.keys.prerequisites import TEST_SIGNATURE, Prerequisite, failed, passed
from kspsign.keys.protocol import Capabilities
from kspsign.model.errors import KspSignError, PrerequisiteError, SigningError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, RawSignature

LocalKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

IN_MEMORY: Final = Capabilities(concurrent=os.cpu_count(), costly=False)
"""Capabilities of such a key: as many concurrent signatures as there are processors, at no cost."""

_HASHES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    DigestAlgorithm.SHA256: hashes.SHA256(),
    DigestAlgorithm.SHA384: hashes.SHA384(),
    DigestAlgorithm.SHA512: hashes.SHA512(),
}


def sign_digest(key: LocalKey, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
    """Sign `digest` (the raw hash): RSA PKCS#1 v1.5 (RFC 8017 §8.2) or ECDSA as DER (RFC 3279 §2.2.3).

    Raises SigningError for SHA-1 (only ever read), a digest of the wrong length, or a key too short for it.
    """
    chosen = _HASHES.get(algorithm)
    if chosen is None:
        raise SigningError(
            f"{algorithm} is not signed any more",
            code=Hresult.NTE_BAD_ALGID.name,
            remedy=Hresult.NTE_BAD_ALGID.remedy,
            hresult=Hresult.NTE_BAD_ALGID,
        )
    prehashed = Prehashed(chosen)
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            value = key.sign(digest, PKCS1v15(), prehashed)
        else:
            value = key.sign(digest, ec.ECDSA(prehashed))
    except ValueError as refused:
        raise SigningError(
            f"the key can't sign this {algorithm} digest of {len(digest)} bytes: {refused}",
            code="SIGNING_FAILED",
            remedy="Use a key of at least RSA 2048 or P-256, and a digest of the length its algorithm gives.",
        ) from refused
    return RawSignature(algorithm, value)


def examine_test_signature(key: LocalKey, leaf: bytes) -> Prerequisite:
    """Whether the key signs, and the certificate `leaf` (DER) is its own: a signature that costs nothing and is kept
    nowhere."""
    digest = secrets.token_bytes(32)
    try:
        value = sign_digest(key, digest, DigestAlgorithm.SHA256).value
        _verify(parse_certificate(leaf), value, digest)
    except KspSignError as error:
        return failed(TEST_SIGNATURE, error)
    return passed(TEST_SIGNATURE, "the key signs, and the certificate verifies the signature")


def _verify(certificate: x509.Certificate, value: bytes, digest: bytes) -> None:
    public, prehashed = certificate.public_key(), Prehashed(hashes.SHA256())
    try:
        if isinstance(public, rsa.RSAPublicKey):
            return public.verify(value, digest, PKCS1v15(), prehashed)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return public.verify(value, digest, ec.ECDSA(prehashed))
    except InvalidSignature:
        pass
    raise PrerequisiteError(
        "the certificate is not this key's: it does not verify a signature of it",
        code="KEY_MISMATCH",
        remedy="Export key and certificate again together: the certificate must have been issued for this key.",
    )
