"""One CMS SignedData as it was read, its parts, and whether they speak of each other (RFC 5652 §5, §11)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import Scheme, signature_holds
from kspsign.certificates import der
from kspsign.certificates.parse import extension, outline, parse_certificate
from kspsign.model.values import DigestAlgorithm


class SignerId(NamedTuple):
    """Who signed: issuer name and serial number (whole DER elements), or the subject key identifier."""

    issuer: bytes
    serial: bytes
    key_identifier: bytes | None


class Signer(NamedTuple):
    """One SignerInfo. `signed` is the DER SET OF signed attributes (tag 0x31), the octets the signature covers.

    `unsigned_attributes` are those that are verified in their own right; `refused` is what else it carries.
    """

    version: int
    sid: SignerId
    digest_algorithm: DigestAlgorithm | None
    signed: bytes
    signed_attributes: dict[str, tuple[bytes, ...]]
    unsigned_attributes: dict[str, tuple[bytes, ...]]
    refused: tuple[str, ...]
    scheme: Scheme
    value: bytes

    def signed_digest(self) -> bytes:
        """What the signature value was made over: the digest of the signed attributes."""
        return hashlib.new(self.digest_algorithm or DigestAlgorithm.SHA256, self.signed).digest()


class SignedMessage(NamedTuple):
    """A SignedData: its content's type and octets (without tag and length), certificates (DER) and one signer.

    Of a counter-signature (RFC 5652 §11.4), the content is the signature value that it signs, and has no type.
    `refused` is what it carries that is neither signed nor verified, besides its signer's.
    """

    version: int
    content_type: str
    content: bytes
    content_der: bytes
    digest_algorithms: tuple[DigestAlgorithm | None, ...]
    certificates: tuple[bytes, ...]
    signer: Signer
    refused: tuple[str, ...]


def find_signer(signer: Signer, certificates: tuple[bytes, ...]) -> bytes | None:
    """The certificate among `certificates` (DER) that the SignerInfo names, None when it is not there."""
    return next((certificate for certificate in certificates if _names(signer.sid, certificate)), None)


def _names(sid: SignerId, data: bytes) -> bool:
    if sid.key_identifier is None:
        return (outline(data).issuer, outline(data).serial) == (sid.issuer, sid.serial)
    identifier = extension(parse_certificate(data), x509.SubjectKeyIdentifier)
    return identifier is not None and identifier.value.digest == sid.key_identifier


def content_fault(message: SignedMessage) -> str | None:
    """Why the signed attributes do not speak of the content (RFC 5652 §5.4, §11.1, §11.2), None when they do.

    What a counter-signature covers has no content type (§11.4); .NET states "data" all the same.
    """
    signer = message.signer
    if signer.digest_algorithm is None:
        return "the signer's digest algorithm is unknown"
    stated = _single(signer, oids.OID_CONTENT_TYPE)
    countersigns = not message.content_type and stated is None
    if not countersigns and stated != der.oid(message.content_type or oids.OID_DATA):
        return "the contentType attribute differs from the content"
    if not states_digest(signer, hashlib.new(signer.digest_algorithm, message.content).digest()):
        return "the messageDigest attribute differs from the content's digest"
    return None


def states_digest(signer: Signer, digest: bytes) -> bool:
    """Whether there is exactly one messageDigest attribute (RFC 5652 §11.2), and it holds `digest`."""
    return _single(signer, oids.OID_MESSAGE_DIGEST) == der.octet_string(digest)


def signer_fault(signer: Signer, data: bytes | None) -> str | None:
    """Why the signature value is not valid under the certificate `data` (DER), None when it is."""
    if data is None:
        return "the signer's certificate is not in the signature"
    if signer.digest_algorithm is None:
        return "the digest algorithm is unknown"
    try:
        key = parse_certificate(data).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
        return f"the key of the signer's certificate can't be used: {broken}"
    if not signature_holds(key, signer.value, signer.signed_digest(), signer.digest_algorithm, signer.scheme):
        return "the signature does not match the signer's certificate"
    return None


def _single(signer: Signer, kind: str) -> bytes | None:
    values = signer.signed_attributes.get(kind, ())
    return values[0] if len(values) == 1 else None
