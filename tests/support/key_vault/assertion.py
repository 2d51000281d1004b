"""A client assertion that an application signs with its certificate (RFC 7523; Entra ID's page on certificate
credentials)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_PADDINGS: dict[str, padding.AsymmetricPadding] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32),
}


def is_signed_by(assertion: str, certificates: Iterable[x509.Certificate], client: str, audience: str) -> bool:
    """Whether one of `certificates` signed `assertion` for `client` and `audience`, and it is current."""
    try:
        head, body, signature = assertion.split(".")
        header, claims = json.loads(_bytes(head)), json.loads(_bytes(body))
    except ValueError:
        return False
    now = time.time()
    current = claims.get("nbf", claims.get("iat", 0)) - 300 <= now < claims.get("exp", 0) <= now + 3600
    if not current or (claims.get("iss"), claims.get("sub"), claims.get("aud")) != (client, client, audience):
        return False
    return any(
        _verifies(certificate, header, f"{head}.{body}".encode(), _bytes(signature)) for certificate in certificates
    )


def _verifies(certificate: x509.Certificate, header: dict[str, str], content: bytes, signature: bytes) -> bool:
    prints = {"x5t": hashes.SHA1(), "x5t#S256": hashes.SHA256()}  # noqa: S303 - how a certificate is named
    named = [_bytes(header[name]) == certificate.fingerprint(prints[name]) for name in prints if name in header]
    key, scheme = certificate.public_key(), _PADDINGS.get(header.get("alg", ""))
    if not named or not all(named) or scheme is None or not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(signature, content, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
