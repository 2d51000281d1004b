"""A certificate file as CAs deliver it: DER or PEM, alone or with its chain, or PKCS#7 (.p7b, RFC 2315)."""

from __future__ import annotations

import re
import warnings
from base64 import b64decode
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from kspsign.certificates import der
from kspsign.model.errors import PrerequisiteError, TrustError

_PEM = re.compile(rb"-----BEGIN (?:PKCS7|CMS)-----([A-Za-z0-9+/=\s]*)-----END")
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT = _CERTIFICATES = 0xA0
_INDEFINITE = b"\x30\x80"


def read_certificate_file(path: Path) -> tuple[bytes, tuple[x509.Certificate, ...]]:
    """The end-entity certificate (DER) and all certificates of the file; raises PrerequisiteError."""
    try:
        content = path.read_bytes()
    except OSError as unreadable:
        raise _unusable(path, f"can't be read: {unreadable.strerror or unreadable}") from unreadable
    certificates = parse_certificates(content)
    if not certificates:
        raise _unusable(path, "holds no certificate in DER, PEM or PKCS#7")
    issuers = {certificate.issuer for certificate in certificates if certificate.issuer != certificate.subject}
    leaf = next((certificate for certificate in certificates if certificate.subject not in issuers), certificates[0])
    return leaf.public_bytes(Encoding.DER), certificates


def parse_certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates in `content`, DER, PEM or PKCS#7; () when there is none."""
    readers = (
        x509.load_pem_x509_certificates,
        lambda data: [x509.load_der_x509_certificate(data)],
        _in_pkcs7,
        _in_ber,
    )
    for read in readers:
        try:
            return tuple(read(content))
        except (ValueError, TrustError, UnsupportedAlgorithm):
            continue  # not of this form
    return ()


def _in_pkcs7(content: bytes) -> list[x509.Certificate]:
    """The certificates of a SignedData (RFC 2315 §9.1) in PEM or DER; services and Windows do not sort sets."""
    armoured = _PEM.search(content)
    message = der.parse(b64decode(armoured[1]) if armoured else content).fields()
    if der.oid_of(message.take(der.OID)) != _SIGNED_DATA:
        raise ValueError("not a SignedData")
    signed = message.take(_CONTENT).first().fields()
    for tag in (der.INTEGER, der.SET, der.SEQUENCE):
        signed.take(tag)
    held = signed.optional(_CERTIFICATES)
    children = held.children() if held is not None else ()
    return [x509.load_der_x509_certificate(child.der) for child in children if child.tag == der.SEQUENCE]


def _in_ber(content: bytes) -> list[x509.Certificate]:
    """Likewise in BER of indefinite length, which some programs write; the library reads it, but warns."""
    if not (content.startswith(_INDEFINITE) and content.endswith(b"\0\0")):
        raise ValueError("not of indefinite length")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pkcs7.load_der_pkcs7_certificates(content)


def _unusable(path: Path, what: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the certificate file {path} {what}",
        code="CERTIFICATE_FILE",
        remedy="Download it again with its chain (`smctl certificate download --keypair-alias ALIAS --chain`).",
    )
