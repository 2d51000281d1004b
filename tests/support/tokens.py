"""RFC 3161 tokens in any shape, right or wrong in one thing, signed for real by whoever is to be the authority."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import HASHES, algorithm_identifier
from kspsign.certificates import der
from kspsign.certificates.parse import outline
from kspsign.model.values import DigestAlgorithm
from support.pki import Issued

_ECDSA_OIDS = {DigestAlgorithm.SHA1: "1.2.840.10045.4.1", DigestAlgorithm.SHA256: "1.2.840.10045.4.3.2"}
_RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.element(der.NULL))
TRUE = der.element(der.BOOLEAN, b"\xff")


def directory_name(subject: bytes) -> bytes:
    """A GeneralName with the DER Name `subject`."""
    return der.element(0xA4, subject)


def token_extension(oid: str, *, critical: bool) -> bytes:
    """An Extension (RFC 5280 §4.1) of that kind, whose value is NULL."""
    return der.sequence(der.oid(oid), TRUE if critical else b"", der.octet_string(der.element(der.NULL)))


def make_token(  # noqa: PLR0913 - a token has that many sides, and a test turns one of them
    unit: Issued,
    value: bytes,
    moment: datetime,
    *,
    imprint: DigestAlgorithm = DigestAlgorithm.SHA256,
    signed_over: DigestAlgorithm = DigestAlgorithm.SHA256,
    tsa: bytes | None = None,
    extensions: Sequence[bytes] = (),
    chain: Sequence[Issued] = (),
    stamped: bytes | None = None,
    identifiers: Mapping[str, bytes] | None = None,
) -> bytes:
    """The token (DER ContentInfo) of `unit` over the signature `value`, which carries the unit's certificate and
    `chain`. `tsa` is a GeneralName (default: absent), `stamped` another messageImprint, and `identifiers` are the
    signing-certificate attributes by OID, where not the usual one."""
    info = _info(moment, stamped or message_imprint(imprint, value), tsa, extensions)
    attributes = _attributes(unit.der, info, signed_over, identifiers)
    leaf = outline(unit.der)
    scheme, signature = _signed(unit, der.set_of(*attributes), signed_over)
    signer = der.sequence(
        der.integer(1),
        der.sequence(leaf.issuer, leaf.serial),
        algorithm_identifier(signed_over),
        der.set_of(*attributes, tag=0xA0),
        scheme,
        der.octet_string(signature),
    )
    signed = der.sequence(
        der.integer(3),
        der.set_of(algorithm_identifier(signed_over)),
        der.sequence(der.oid(oids.OID_TST_INFO), der.element(0xA0, der.octet_string(info))),
        der.set_of(unit.der, *(issued.der for issued in chain), tag=0xA0),
        der.set_of(signer),
    )
    return der.sequence(der.oid(oids.OID_SIGNED_DATA), der.element(0xA0, signed))


def message_imprint(algorithm: DigestAlgorithm, value: bytes) -> bytes:
    """A MessageImprint (RFC 3161 §2.4.1) of `value`."""
    return der.sequence(algorithm_identifier(algorithm), der.octet_string(hashlib.new(algorithm, value).digest()))


def certificate_id(digest: bytes, issued: bytes = b"") -> bytes:
    """SigningCertificate and SigningCertificateV2 (RFC 5035 §3, §5) with one entry; `issued` is an IssuerSerial."""
    return der.sequence(der.sequence(der.sequence(der.octet_string(digest), issued)))


def issuer_serial(certificate: bytes) -> bytes:
    """The IssuerSerial of a certificate (RFC 5035 §5)."""
    named = outline(certificate)
    return der.sequence(der.sequence(directory_name(named.issuer)), named.serial)


def _info(moment: datetime, stamped: bytes, tsa: bytes | None, extensions: Sequence[bytes]) -> bytes:
    return der.sequence(
        der.integer(1),
        der.oid("2.999.1"),
        stamped,
        der.integer(4711),
        der.element(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode()),
        b"" if tsa is None else der.element(0xA0, tsa),
        der.element(0xA1, *extensions) if extensions else b"",
    )


def _attributes(
    certificate: bytes, info: bytes, algorithm: DigestAlgorithm, identifiers: Mapping[str, bytes] | None
) -> tuple[bytes, ...]:
    usual = {oids.OID_SIGNING_CERTIFICATE_V2: certificate_id(hashlib.sha256(certificate).digest())}
    values = {
        oids.OID_CONTENT_TYPE: der.oid(oids.OID_TST_INFO),
        oids.OID_MESSAGE_DIGEST: der.octet_string(hashlib.new(algorithm, info).digest()),
        **(usual if identifiers is None else identifiers),
    }
    return tuple(der.sequence(der.oid(name), der.set_of(value)) for name, value in values.items())


def _signed(unit: Issued, content: bytes, algorithm: DigestAlgorithm) -> tuple[bytes, bytes]:
    """The signature's AlgorithmIdentifier and value."""
    if isinstance(unit.key, ec.EllipticCurvePrivateKey):
        scheme = der.sequence(der.oid(_ECDSA_OIDS[algorithm]))
        return scheme, unit.key.sign(content, ec.ECDSA(HASHES[algorithm]))
    assert isinstance(unit.key, rsa.RSAPrivateKey)
    return _RSA, unit.key.sign(content, padding.PKCS1v15(), HASHES[algorithm])
