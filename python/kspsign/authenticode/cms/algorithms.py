"""Signature and digest algorithms as CMS names them (RFC 5754, RFC 8017 §A, RFC 5758)."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm

HASHES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    DigestAlgorithm.SHA1: hashes.SHA1(),  # noqa: S303 - read in old signatures, refused by the verifier's policy
    DigestAlgorithm.SHA256: hashes.SHA256(),
    DigestAlgorithm.SHA384: hashes.SHA384(),
    DigestAlgorithm.SHA512: hashes.SHA512(),
}


class Scheme(Enum):
    """How a signature value was made."""

    RSA = "RSASSA-PKCS1-v1_5"
    RSA_PSS = "RSASSA-PSS"
    ECDSA = "ECDSA"


_OID_RSA = "1.2.840.113549.1.1.1"
_OID_RSA_PSS = "1.2.840.113549.1.1.10"
_OID_MGF1 = "1.2.840.113549.1.1.8"
_OID_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_SCHEMES: dict[str, tuple[Scheme, DigestAlgorithm | None]] = {
    _OID_RSA: (Scheme.RSA, None),
    "1.2.840.113549.1.1.5": (Scheme.RSA, DigestAlgorithm.SHA1),
    "1.2.840.113549.1.1.11": (Scheme.RSA, DigestAlgorithm.SHA256),
    "1.2.840.113549.1.1.12": (Scheme.RSA, DigestAlgorithm.SHA384),
    "1.2.840.113549.1.1.13": (Scheme.RSA, DigestAlgorithm.SHA512),
    _OID_RSA_PSS: (Scheme.RSA_PSS, None),
    _OID_EC_PUBLIC_KEY: (Scheme.ECDSA, None),
    "1.2.840.10045.4.1": (Scheme.ECDSA, DigestAlgorithm.SHA1),
    "1.2.840.10045.4.3.2": (Scheme.ECDSA, DigestAlgorithm.SHA256),
    "1.2.840.10045.4.3.3": (Scheme.ECDSA, DigestAlgorithm.SHA384),
    "1.2.840.10045.4.3.4": (Scheme.ECDSA, DigestAlgorithm.SHA512),
}
DIGEST_OIDS = {
    DigestAlgorithm.SHA1: "1.3.14.3.2.26",
    DigestAlgorithm.SHA256: "2.16.840.1.101.3.4.2.1",
    DigestAlgorithm.SHA384: "2.16.840.1.101.3.4.2.2",
    DigestAlgorithm.SHA512: "2.16.840.1.101.3.4.2.3",
}
_DIGESTS = {kind: algorithm for algorithm, kind in DIGEST_OIDS.items()}
_ECDSA_OIDS = {made_for: kind for kind, (scheme, made_for) in _SCHEMES.items() if scheme is Scheme.ECDSA and made_for}
_NULL = der.element(der.NULL)
_NO_PARAMETERS = frozenset({b"", b"\x05\x00"})


def algorithm_identifier(algorithm: DigestAlgorithm) -> bytes:
    """The DER AlgorithmIdentifier of a digest, with NULL parameters as every Authenticode signer writes them."""
    return der.sequence(der.oid(DIGEST_OIDS[algorithm]), _NULL)


def signature_identifier(algorithm: DigestAlgorithm, *, is_ec: bool) -> bytes:
    """The DER AlgorithmIdentifier of a signature: rsaEncryption with NULL, or ecdsa-with-SHA2 without parameters."""
    return der.sequence(der.oid(_ECDSA_OIDS[algorithm])) if is_ec else der.sequence(der.oid(_OID_RSA), _NULL)


@lru_cache(maxsize=256)
def digest_algorithm(identifier: bytes) -> DigestAlgorithm | None:
    """The algorithm of a DER AlgorithmIdentifier, None when it is not one of ours (MD5 and the like).

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when one of ours has parameters but NULL (RFC 5754 §2).
    """
    kind, parameters = _identifier(identifier)
    algorithm = _DIGESTS.get(kind)
    if algorithm is not None and parameters not in _NO_PARAMETERS:
        raise der.malformed(f"parameters of {algorithm}")
    return algorithm


@lru_cache(maxsize=256)
def signature_scheme(identifier: bytes, digest: DigestAlgorithm | None) -> Scheme | None:
    """The scheme of a DER AlgorithmIdentifier of a signature, None when it is unknown or contradicts `digest`."""
    kind, parameters = _identifier(identifier)
    scheme, made_for = _SCHEMES.get(kind, (None, None))
    if made_for not in {None, digest}:
        return None
    if kind == _OID_RSA_PSS:
        return scheme if _pss_fits(parameters, digest) else None
    # RFC 4055 §1.2 takes both forms with RSA; RFC 5758 §3.2 has none with ECDSA.
    return scheme if not parameters or (scheme is Scheme.RSA and parameters in _NO_PARAMETERS) else None


def _identifier(identifier: bytes) -> tuple[str, bytes]:
    """Algorithm and parameters (DER, empty when absent) of an AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    kind, *parameters = der.parse(identifier).children() or (None,)
    if kind is None or len(parameters) > 1:
        raise der.malformed("an algorithm identifier")
    return der.oid_of(kind), parameters[0].der if parameters else b""


def _pss_fits(parameters: bytes, digest: DigestAlgorithm | None) -> bool:
    """RSASSA-PSS-params (RFC 8017 §A.2.3) as every signer writes them: one digest throughout, a salt of its length."""
    if digest is None or not parameters:
        return False
    fields = der.parse(parameters).fields()
    hashed, mask, salt = (fields.optional(tag) for tag in (0xA0, 0xA1, 0xA2))
    fields.end()  # DER leaves the trailer out: it has its default
    if hashed is None or mask is None or salt is None:
        return False  # the defaults are SHA-1's
    kind, of = _identifier(mask.content)
    return (
        digest_algorithm(hashed.content) is digest
        and kind == _OID_MGF1
        and bool(of)
        and digest_algorithm(of) is digest
        and salt.content == der.integer(HASHES[digest].digest_size)
    )


def bare_signature_holds(public_key: object, signature: bytes, digest: bytes) -> bool:
    """Whether `signature` is one of PKCS#1 v1.5 with the bare `digest` where a DigestInfo belongs (RFC 8017 §9.2), as
    VeriSign's and Symantec's timestamp servers made them over SHA-1."""
    if not isinstance(public_key, rsa.RSAPublicKey):
        return False
    try:
        return public_key.recover_data_from_signature(signature, padding.PKCS1v15(), None) == digest
    except (InvalidSignature, UnsupportedAlgorithm):
        return False


def signature_holds(
    public_key: object,
    signature: bytes,
    digest: bytes,
    algorithm: DigestAlgorithm,
    scheme: Scheme | None,
) -> bool:
    """Whether `signature` over `digest` (made with `algorithm`) was made by the key in this way.

    `scheme` None is PKCS#1 v1.5 or ECDSA, as the key has it. Other key types never hold.
    """
    prehashed = Prehashed(HASHES[algorithm])
    try:
        if isinstance(public_key, rsa.RSAPublicKey) and scheme is not Scheme.ECDSA:
            chosen: padding.AsymmetricPadding = padding.PKCS1v15()
            if scheme is Scheme.RSA_PSS:
                chosen = padding.PSS(padding.MGF1(HASHES[algorithm]), padding.PSS.DIGEST_LENGTH)
            public_key.verify(signature, digest, chosen, prehashed)
        elif isinstance(public_key, ec.EllipticCurvePublicKey) and scheme in {None, Scheme.ECDSA}:
            public_key.verify(signature, digest, ec.ECDSA(prehashed))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
