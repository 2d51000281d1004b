"""A certificate file as CAs deliver it: DER or PEM, alone or with its chain, or PKCS#7 (.p7b, RFC 2315)."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from kspsign.model.errors import PrerequisiteError


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
        pkcs7.load_pem_pkcs7_certificates,
        pkcs7.load_der_pkcs7_certificates,
    )
    for read in readers:
        try:
            return tuple(read(content))
        except (ValueError, UnsupportedAlgorithm):
            continue  # not of this form
    return ()


def _unusable(path: Path, what: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the certificate file {path} {what}",
        code="CERTIFICATE_FILE",
        remedy="Download it again with its chain (smctl certificate download --keypair-alias ALIAS --chain).",
    )
