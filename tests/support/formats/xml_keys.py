"""Keys and certificates for XML signatures, made once, as our code and libxmlsec1 take them."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Final, NamedTuple

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class XmlKey(NamedTuple):
    """A private key with a certificate of it (DER)."""

    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: bytes


def _key(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> XmlKey:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "XML")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, now, now + dt.timedelta(days=2))
    return XmlKey(private, builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER))


KEYS: Final = {
    "rsa": _key(rsa.generate_private_key(65537, 2048)),
    "p256": _key(ec.generate_private_key(ec.SECP256R1())),
    "p384": _key(ec.generate_private_key(ec.SECP384R1())),
    "p521": _key(ec.generate_private_key(ec.SECP521R1())),
}


@cache
def xmlsec_key(key: XmlKey) -> xmlsec.Key:
    """The key with its certificate as libxmlsec1 has it."""
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    found = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    found.load_cert_from_memory(key.certificate, xmlsec.constants.KeyDataFormatCertDer)
    return found
