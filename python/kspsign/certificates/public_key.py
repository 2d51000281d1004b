"""A certificate's public key in words for people."""

from __future__ import annotations

import contextlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.certificates.parse import display_name
from kspsign.model.errors import PrerequisiteError

_MIN_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def describe_key(certificate: x509.Certificate) -> str:
    """Kind and size of the certificate's key, such as "RSA 3072 bits"."""
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "a key that can't be read"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size} bits"
    return f"EC {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__


def check_signing_key(certificate: x509.Certificate) -> None:
    """Raise PrerequisiteError when the certificate's key is not one that Authenticode signatures are made with."""
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
            return
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
            return
    raise PrerequisiteError(
        f"certificate {display_name(certificate)} has {describe_key(certificate)}, which Authenticode can't use",
        code="UNSUPPORTED_KEY",
        remedy="Use a key with RSA of at least 2048 bits, or P-256, P-384 or P-521.",
    )
