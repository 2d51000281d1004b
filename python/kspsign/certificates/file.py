"""A certificate file as CAs deliver it: DER or PEM, alone or with its chain, or PKCS#7 (.p7b, RFC 2315)."""

from __future__ import annotations

from pathlib import Path

from asn1crypto import cms, pem
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

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
        _in_pkcs7,
    )
    for read in readers:
        try:
            return tuple(read(content))
        except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            continue  # not of this form
    return ()


def _in_pkcs7(content: bytes) -> list[x509.Certificate]:
    """The certificates of a SignedData in PEM or BER; services and Windows do not sort them as DER would."""
    if pem.detect(content):
        _type, _headers, content = pem.unarmor(content)
    message = cms.ContentInfo.load(content, strict=True)
    if message["content_type"].native != "signed_data":
        raise ValueError("not a SignedData")
    held = message["content"]["certificates"]
    return [x509.load_der_x509_certificate(each.chosen.dump()) for each in held if each.name == "certificate"]


def _unusable(path: Path, what: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the certificate file {path} {what}",
        code="CERTIFICATE_FILE",
        remedy="Download it again with its chain (smctl certificate download --keypair-alias ALIAS --chain).",
    )
