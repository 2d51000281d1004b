"""Issues the embedded authority's certificates (RFC 5280 §4): throw-away keys, marked as test signing.

The code-signing certificates and the timestamp unit share the root but not an intermediate, since the extended key
usages of a CA must not mix the two purposes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

RSA_BITS = 3072
CLOCK_SKEW = timedelta(minutes=5)
"""Certificates are valid from this long before they are issued, for verifiers whose clock is slow."""


class KeyedCertificate(NamedTuple):
    """A certificate with its private key; the key stays out of `repr`."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    def __repr__(self) -> str:
        return f"KeyedCertificate({self.certificate.subject.rfc4514_string()!r})"


def new_key() -> rsa.RSAPrivateKey:
    """A fresh RSA-3072 key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def issue_root(key: rsa.RSAPrivateKey, now: datetime) -> KeyedCertificate:
    """The self-signed root, ten years."""
    name = _name("root")
    builder = _builder(key, name, name, now, timedelta(days=3652))
    return KeyedCertificate(_as_ca(builder, path_length=1).sign(key, SHA256()), key)


def issue_intermediate(issuer: KeyedCertificate, key: rsa.RSAPrivateKey, now: datetime) -> KeyedCertificate:
    """The CA for code signing below `issuer`, five years."""
    builder = _issued(issuer, key, "intermediate", now, timedelta(days=1826))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    builder = _as_ca(builder, path_length=0).add_extension(usage, critical=False)
    return KeyedCertificate(builder.sign(issuer.key, SHA256()), key)


def issue_leaf(issuer: KeyedCertificate, key: rsa.RSAPrivateKey, now: datetime) -> KeyedCertificate:
    """The code-signing certificate below `issuer`, one year."""
    builder = _issued(issuer, key, "publisher", now, timedelta(days=365))
    builder = _as_end_entity(builder, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]))
    return KeyedCertificate(builder.sign(issuer.key, SHA256()), key)


def issue_timestamp_unit(issuer: KeyedCertificate, key: rsa.RSAPrivateKey, now: datetime) -> KeyedCertificate:
    """The timestamp unit below `issuer`, five years: timeStamping alone and critical (RFC 3161 §2.3)."""
    builder = _issued(issuer, key, "timestamp unit", now, timedelta(days=1826))
    builder = _as_end_entity(builder, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]))
    return KeyedCertificate(builder.sign(issuer.key, SHA256()), key)


def _name(role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "kspsign TEST SIGNING"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"kspsign TEST SIGNING {role} - do not trust"),
        ]
    )


def _issued(
    issuer: KeyedCertificate, key: rsa.RSAPrivateKey, role: str, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = _builder(key, _name(role), issuer.certificate.subject, now, lifetime)
    return builder.add_extension(authority, critical=False)


def _builder(
    key: rsa.RSAPrivateKey, subject: x509.Name, issuer: x509.Name, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0) - CLOCK_SKEW
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    constraint = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraint, critical=True).add_extension(
        _key_usage(digital_signature=False), critical=True
    )


def _as_end_entity(builder: x509.CertificateBuilder, extended_usage: x509.ExtendedKeyUsage) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(extended_usage, critical=True)
    )


def _key_usage(*, digital_signature: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not digital_signature,
        crl_sign=not digital_signature,
        encipher_only=False,
        decipher_only=False,
    )
