"""Answers a timestamp request (RFC 3161 §2.4): a token, or a PKIFailureInfo that says why not.

Bytes in, bytes out: no clock, no network.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import HASHES, algorithm_identifier, digest_algorithm, signature_identifier
from kspsign.certificates import der
from kspsign.certificates.parse import outline, to_der
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm

POLICY = "2.999.1.3161"
"""The policy in the tokens: an OID of the example arc (ITU-T X.660), since this authority promises nothing."""

_ALGORITHMS: Final = (DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512)
_ACCURACY_SECONDS: Final = 1
_GRANTED, _REJECTION = 0, 2
_BAD_ALGORITHM, _BAD_REQUEST, _BAD_DATA_FORMAT, _UNACCEPTED_POLICY, _UNACCEPTED_EXTENSION = 0, 2, 5, 15, 16
"""Bits of PKIFailureInfo (RFC 3161 §2.4.2)."""
_UTF8_STRING: Final = 0x0C
_TSA, _DIRECTORY_NAME, _CERTIFICATES, _SIGNED_ATTRIBUTES, _EXTENSIONS, _CONTENT = 0xA0, 0xA4, 0xA0, 0xA0, 0xA0, 0xA0


@dataclass(frozen=True, slots=True)
class _Request:
    """A TimeStampReq that gets a token; `imprint` and `nonce` are whole DER elements, which the token repeats."""

    imprint: bytes
    algorithm: DigestAlgorithm
    nonce: bytes
    wants_certificate: bool


@dataclass(frozen=True, slots=True)
class _Rejection:
    """Why a request gets no token; `failure` is the PKIFailureInfo bit."""

    failure: int
    reason: str


def respond(request: bytes, authority: EmbeddedAuthority, now: datetime) -> bytes:
    """The DER TimeStampResp for a DER TimeStampReq, stamped with `now` (timezone-aware, cut to seconds)."""
    parsed = _parse(request)
    if isinstance(parsed, _Rejection):
        text = der.sequence(der.element(_UTF8_STRING, parsed.reason.encode()))
        return der.sequence(der.sequence(der.integer(_REJECTION), text, _named_bit(parsed.failure)))
    token = _token(parsed, authority, now.astimezone(UTC))
    return der.sequence(der.sequence(der.integer(_GRANTED)), token)


def _parse(request: bytes) -> _Request | _Rejection:
    """The fields of a TimeStampReq (RFC 3161 §2.4.1)."""
    try:
        fields = der.parse(request).fields()
        version = der.integer_of(fields.take(der.INTEGER))
        imprint = fields.take(der.SEQUENCE)
        policy = fields.optional(der.OID)
        named_policy = None if policy is None else der.oid_of(policy)
        nonce = fields.optional(der.INTEGER)
        if nonce is not None:
            der.integer_of(nonce)
        wants_certificate = fields.optional(der.BOOLEAN)
        extensions = fields.optional(_EXTENSIONS)
        fields.end()
        parts = imprint.fields()
        identifier, hashed = parts.take(der.SEQUENCE), parts.take(der.OCTET_STRING)
        parts.end()
    except TrustError:
        return _Rejection(_BAD_DATA_FORMAT, "the request is not a DER TimeStampReq")
    faults = (
        (version != 1, _Rejection(_BAD_REQUEST, "only version 1 of the request is supported")),
        (extensions and extensions.content, _Rejection(_UNACCEPTED_EXTENSION, "request extensions are not supported")),
        (named_policy not in {None, POLICY}, _Rejection(_UNACCEPTED_POLICY, f"the only policy is {POLICY}")),
    )
    for wrong, rejection in faults:
        if wrong:
            return rejection
    algorithm = _imprint_algorithm(identifier.der)
    if algorithm is None:
        return _Rejection(_BAD_ALGORITHM, f"the imprint must be one of {', '.join(_ALGORITHMS)}")
    if len(hashed.content) != HASHES[algorithm].digest_size:
        return _Rejection(_BAD_DATA_FORMAT, "the imprint's length does not match its algorithm")
    asked = wants_certificate is not None and wants_certificate.content != b"\0"
    return _Request(imprint.der, algorithm, b"" if nonce is None else nonce.der, asked)


def _imprint_algorithm(identifier: bytes) -> DigestAlgorithm | None:
    try:
        algorithm = digest_algorithm(identifier)
    except TrustError:
        return None
    return algorithm if algorithm in _ALGORITHMS else None


def _token(request: _Request, authority: EmbeddedAuthority, now: datetime) -> bytes:
    """The TimeStampToken (RFC 3161 §2.4.2): a SignedData (RFC 5652 §5.1) around the TSTInfo, one signer."""
    certificate = to_der(authority.timestamp.certificate)
    content = _info(request, certificate, now)
    attributes = _signed_attributes(certificate, hashlib.new(request.algorithm, content).digest(), now)
    value = authority.timestamp.key.sign(der.set_of(*attributes), PKCS1v15(), HASHES[request.algorithm])
    leaf = outline(certificate)
    signer = der.sequence(
        der.integer(1),
        der.sequence(leaf.issuer, leaf.serial),
        algorithm_identifier(request.algorithm),
        der.set_of(*attributes, tag=_SIGNED_ATTRIBUTES),
        signature_identifier(request.algorithm, is_ec=False),
        der.octet_string(value),
    )
    signed = der.sequence(
        der.integer(3),
        der.set_of(algorithm_identifier(request.algorithm)),
        der.sequence(der.oid(oids.OID_TST_INFO), der.element(_CONTENT, der.octet_string(content))),
        der.element(_CERTIFICATES, certificate) if request.wants_certificate else b"",
        der.set_of(signer),
    )
    return der.sequence(der.oid(oids.OID_SIGNED_DATA), der.element(_CONTENT, signed))


def _info(request: _Request, certificate: bytes, now: datetime) -> bytes:
    """The TSTInfo."""
    return der.sequence(
        der.integer(1),
        der.oid(POLICY),
        request.imprint,
        der.integer(secrets.randbits(127) | 1 << 127),
        der.element(der.GENERALIZED_TIME, now.strftime("%Y%m%d%H%M%SZ").encode()),
        der.sequence(der.integer(_ACCURACY_SECONDS)),
        request.nonce,
        der.element(_TSA, der.element(_DIRECTORY_NAME, outline(certificate).subject)),
    )


def _signed_attributes(certificate: bytes, digest: bytes, now: datetime) -> tuple[bytes, ...]:
    """contentType, messageDigest, signingTime (RFC 5652 §11) and signingCertificateV2 (RFC 5035 §3)."""
    leaf = outline(certificate)
    issuer_serial = der.sequence(der.sequence(der.element(_DIRECTORY_NAME, leaf.issuer)), leaf.serial)
    identifier = der.sequence(der.octet_string(hashlib.sha256(certificate).digest()), issuer_serial)
    values = {
        oids.OID_CONTENT_TYPE: der.oid(oids.OID_TST_INFO),
        oids.OID_MESSAGE_DIGEST: der.octet_string(digest),
        oids.OID_SIGNING_TIME: der.element(der.UTC_TIME, now.strftime("%y%m%d%H%M%SZ").encode()),
        oids.OID_SIGNING_CERTIFICATE_V2: der.sequence(der.sequence(identifier)),
    }
    return tuple(der.sequence(der.oid(name), der.set_of(value)) for name, value in values.items())


def _named_bit(number: int) -> bytes:
    """A BIT STRING with one named bit set, without trailing zero bits (X.690 §11.2.2)."""
    unused = 7 - number % 8
    return der.element(der.BIT_STRING, bytes((unused, *bytes(number // 8), 1 << unused)))
