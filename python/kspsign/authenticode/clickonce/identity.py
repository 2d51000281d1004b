"""How manifests name a key and its certificate: public key token, publisher's name, hash of the issuer's key."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.certificates import der
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import outline, parse_certificate
from kspsign.certificates.windows_name import windows_name
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_RSA_SIGN, _SHA1, _PUBLIC_BLOB, _BLOB_VERSION = 0x2400, 0x8004, 6, 2
_HEADER = struct.Struct("<IIIBBHI4sII")
"""Of a strong name's public key (StrongNamePublicKeyBlob, then PUBLICKEYSTRUC and RSAPUBKEY of wincrypt.h)."""
_TOKEN_SIZE = 8


class PublisherName(NamedTuple):
    """The publisher as a manifest names it: the certificate's subject in Windows' form, and the SHA-1 (hex) of the
    public key that its issuer signs with, as RFC 5280 §4.2.1.2 hashes keys."""

    name: str
    issuer_key_hash: str


def public_key_token(key: rsa.RSAPublicKey) -> str:
    """The strong name token of the key (ECMA-335 §II.6.3): the last 8 bytes of the blob's SHA-1, reversed, in hex."""
    numbers = key.public_numbers()
    modulus = numbers.n.to_bytes((key.key_size + 7) // 8, "little")
    header = _HEADER.pack(
        *(_RSA_SIGN, _SHA1, 20 + len(modulus)),
        *(_PUBLIC_BLOB, _BLOB_VERSION, 0, _RSA_SIGN),
        *(b"RSA1", 8 * len(modulus), numbers.e),
    )
    digest = hashlib.sha1(header + modulus, usedforsecurity=False).digest()
    return digest[: -_TOKEN_SIZE - 1 : -1].hex()


def rsa_key_of(certificate: bytes) -> rsa.RSAPublicKey:
    """The certificate's key. Raises ArtifactError (ERROR_NOT_SUPPORTED) when that is not RSA."""
    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        key = parse_certificate(certificate).public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return key
    raise ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED,
        "ClickOnce manifests are signed with RSA keys, and this certificate has another kind of key",
        remedy="Use a certificate with an RSA key of 3072 or 4096 bits.",
    )


def key_hash(certificate: bytes) -> str:
    """The SHA-1 (hex) of the certificate's own public key: of the bits of its subjectPublicKey."""
    bits = der.parse(outline(certificate).key).children()[-1].content[1:]
    return hashlib.sha1(bits, usedforsecurity=False).hexdigest()


def publisher_of(chain: tuple[bytes, ...]) -> PublisherName:
    """The publisher of the first certificate (DER) of `chain`. Raises ArtifactError (ERROR_NOT_SUPPORTED) when its
    issuer is not in the chain."""
    leaf = chain[0]
    found = ordered_chain(leaf, [parse_certificate(certificate) for certificate in chain[1:]])
    if len(found) == 1 and outline(leaf).issuer != outline(leaf).subject:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "a manifest names the key of the certificate's issuer, whose certificate is not at hand",
            remedy="Give the certificate together with its issuers, as its CA delivers it.",
        )
    return PublisherName(windows_name(parse_certificate(leaf).subject), key_hash(found[:2][-1]))
