"""Certificates for tests of trust: any shape, right or wrong, issued in a line of code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kspsign.certificates.parse import quiet

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
TIMESTAMPING = ExtendedKeyUsageOID.TIME_STAMPING
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
MOMENT = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def key_usage(*allowed: str) -> Extension:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{usage: usage in allowed for usage in names}), True


def extended(*usages: x509.ObjectIdentifier, critical: bool = False) -> Extension:
    return x509.ExtendedKeyUsage(usages), critical


def issue(  # noqa: PLR0913 - a certificate has that many sides, and a test turns one of them
    subject: str | x509.Name,
    issuer: Issued | None = None,
    *,
    extensions: Sequence[Extension] = (),
    key: Key | None = None,
    signing_key: Key | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
    identifiers: bool = True,
) -> Issued:
    """A certificate with exactly these extensions (and key identifiers); self-signed without `issuer`.

    `signing_key` signs instead of the issuer's key, which makes the certificate a forgery.
    """
    own = key or new_key()
    subject_name = name(subject) if isinstance(subject, str) else subject
    signer = signing_key or (issuer.key if issuer else own)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject_name)
        .issuer_name(issuer.certificate.subject if issuer else subject_name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if identifiers:
        public = issuer.certificate.public_key() if issuer else own.public_key()
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)  # type: ignore[arg-type]
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        builder = builder.add_extension(authority, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, algorithm), own)


def ca(subject: str | x509.Name, issuer: Issued | None = None, *more: Extension, **sides: object) -> Issued:
    """A CA certificate; `path_length` limits it, `more` adds extensions, other sides are `issue`'s."""
    limit = sides.pop("path_length", None)
    constraints = x509.BasicConstraints(ca=True, path_length=limit if isinstance(limit, int) else None), True
    usage = key_usage("key_cert_sign", "crl_sign")
    return issue(subject, issuer, extensions=(constraints, usage, *more), **sides)  # type: ignore[arg-type]


def signer(subject: str | x509.Name, issuer: Issued | None = None, *more: Extension, **sides: object) -> Issued:
    """A code-signing leaf as a public CA issues it."""
    usages = (extended(CODE_SIGNING), key_usage("digital_signature"))
    return issue(subject, issuer, extensions=(*usages, *more), **sides)  # type: ignore[arg-type]


def sha1_signed(issued: Issued, issuer: Issued) -> Issued:
    """The same certificate, signed with SHA-1 as nobody does any more; `issuer` has an EC key."""
    structure = asn1_x509.Certificate.load(issued.der)
    structure["tbs_certificate"]["signature"]["algorithm"] = "sha1_ecdsa"
    structure["signature_algorithm"]["algorithm"] = "sha1_ecdsa"
    return _signed_again(structure, issued, issuer, hashes.SHA1())  # noqa: S303 - made to be refused


def altered(issued: Issued, issuer: Issued, change: Callable[[asn1_x509.TbsCertificate], None]) -> Issued:
    """The same certificate after `change` of what the issuer signs, signed again; `issuer` has an EC key."""
    structure = asn1_x509.Certificate.load(issued.der)
    change(structure["tbs_certificate"])
    return _signed_again(structure, issued, issuer, hashes.SHA256())


def version_1(issued: Issued) -> Issued:
    """The same self-signed certificate as X.509 version 1, which has no extensions."""
    structure = asn1_x509.Certificate.load(issued.der)
    content = structure["tbs_certificate"]
    for absent in ("version", "extensions"):
        del content[absent]
    return _signed_again(structure, issued, issued, hashes.SHA256())


def _signed_again(
    structure: asn1_x509.Certificate, issued: Issued, issuer: Issued, digest: hashes.HashAlgorithm
) -> Issued:
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    content = structure["tbs_certificate"].dump(force=True)
    structure["signature_value"] = issuer.key.sign(content, ec.ECDSA(digest))
    with quiet():
        return Issued(x509.load_der_x509_certificate(structure.dump(force=True)), issued.key)


def write_pem(path: Path, *certificates: Issued) -> Path:
    """The certificates as one PEM file."""
    path.write_bytes(b"".join(issued.pem for issued in certificates))
    return path
