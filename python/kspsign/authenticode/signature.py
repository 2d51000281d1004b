"""One CMS SignedData read for verification (RFC 5652 §5, RFC 3161 §2.4.2 for tokens): nothing trusted, nothing lost.

Octets that were signed are kept as they stand in the file: Windows accepts attribute sets that are not sorted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.authenticode import der, oids
from kspsign.authenticode.algorithms import Scheme, digest_algorithm, signature_holds, signature_scheme
from kspsign.authenticode.certificates import certificate, extension, outline
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm

_PLAIN_CONTENT = frozenset({oids.OID_SPC_INDIRECT_DATA, oids.OID_CTL})
"""Content types that are a SEQUENCE in the place of CMS' OCTET STRING."""


@dataclass(frozen=True, slots=True)
class SignerId:
    """Who signed: issuer name and serial number (whole DER elements), or the subject key identifier."""

    issuer: bytes
    serial: bytes
    key_identifier: bytes | None


@dataclass(frozen=True, slots=True)
class Signer:
    """One SignerInfo. `signed` is the DER SET OF signed attributes (tag 0x31), the octets the signature covers."""

    version: int
    sid: SignerId
    digest: DigestAlgorithm | None
    signed: bytes
    signed_attributes: dict[str, tuple[bytes, ...]]
    unsigned_attributes: dict[str, tuple[bytes, ...]]
    scheme: Scheme
    value: bytes

    def signed_digest(self) -> bytes:
        """What the signature value was made over: the digest of the signed attributes."""
        return hashlib.new(self.digest or DigestAlgorithm.SHA256, self.signed).digest()


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A SignedData: its content's type and octets (without tag and length), certificates (DER) and one signer.

    Of a counter-signature (RFC 5652 §11.4), the content is the signature value that it signs, and has no type.
    """

    version: int
    content_type: str
    content: bytes
    content_der: bytes
    digest_algorithms: tuple[DigestAlgorithm | None, ...]
    certificates: tuple[bytes, ...]
    signer: Signer


def read_signed_message(data: bytes) -> SignedMessage:
    """The SignedData in the ContentInfo `data`.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when it is no such thing, has not
    exactly one signer, lacks signed attributes, or bytes follow it.
    """
    info = der.parse(data).fields()
    kind = der.oid_of(info.take(der.OID))
    if kind != oids.OID_SIGNED_DATA:
        raise _malformed(f"the content type is {kind}, not signedData")
    signed = info.take(0xA0).children()
    info.end()
    if len(signed) != 1 or signed[0].tag != der.SEQUENCE:
        raise _malformed("what should be a SignedData is none")
    return _signed_data(signed[0].fields())


def read_signer(data: bytes) -> Signer:
    """A bare SignerInfo (a PKCS#9 counter-signature); raises like read_signed_message."""
    return _signer(der.parse(data))


def find_signer(signer: Signer, certificates: tuple[bytes, ...]) -> bytes | None:
    """The certificate among `certificates` (DER) that the SignerInfo names, None when it is not there."""
    return next((each for each in certificates if _names(signer.sid, each)), None)


def _names(sid: SignerId, data: bytes) -> bool:
    if sid.key_identifier is None:
        return (outline(data).issuer, outline(data).serial) == (sid.issuer, sid.serial)
    identifier = extension(certificate(data), x509.SubjectKeyIdentifier)
    return identifier is not None and identifier.value.digest == sid.key_identifier


def content_fault(message: SignedMessage) -> str | None:
    """Why the signed attributes do not speak of the content (RFC 5652 §5.4, §11.1, §11.2), None when they do.

    What a counter-signature covers has no content type (§11.4); .NET states "data" all the same.
    """
    signer = message.signer
    stated = _single(signer, oids.OID_CONTENT_TYPE)
    countersigns = not message.content_type and stated is None
    if not countersigns and stated != der.oid(message.content_type or oids.OID_DATA):
        return "the contentType attribute differs from the content"
    if signer.digest is None or not states_digest(signer, hashlib.new(signer.digest, message.content).digest()):
        return "the messageDigest attribute differs from the content's digest"
    return None


def states_digest(signer: Signer, digest: bytes) -> bool:
    """Whether there is exactly one messageDigest attribute (RFC 5652 §11.2), and it holds `digest`."""
    return _single(signer, oids.OID_MESSAGE_DIGEST) == der.octet_string(digest)


def signer_fault(signer: Signer, data: bytes | None) -> str | None:
    """Why the signature value does not hold under the certificate `data` (DER), None when it does."""
    if data is None:
        return "the signer's certificate is not in the signature"
    if signer.digest is None:
        return "the digest algorithm is unknown"
    try:
        key = certificate(data).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
        return f"the key of the signer's certificate can't be used: {broken}"
    if not signature_holds(key, signer.value, signer.signed_digest(), signer.digest, signer.scheme):
        return "the signature does not fit the signer's certificate"
    return None


def _signed_data(fields: der.Fields) -> SignedMessage:
    version, algorithms, content = fields.take(der.INTEGER), fields.take(der.SET), fields.take(der.SEQUENCE)
    certificates, _crls, signers = fields.optional(0xA0), fields.optional(0xA1), fields.take(der.SET).children()
    fields.end()
    if len(signers) != 1:
        raise _malformed(f"{len(signers)} signers where one is allowed")
    content_type, content_der, octets = _content(content)
    return SignedMessage(
        version=der.integer_of(version),
        content_type=content_type,
        content=octets,
        content_der=content_der,
        digest_algorithms=tuple(digest_algorithm(each.der) for each in algorithms.children()),
        certificates=_certificates(certificates),
        signer=_signer(signers[0]),
    )


def _content(encapsulated: der.Element) -> tuple[str, bytes, bytes]:
    """Type, element and octets of the encapsulated content; the signature covers the octets.

    PKCS#7 v1.5, and so Authenticode and a catalogue, has the content itself where CMS has it in an OCTET STRING
    (RFC 5652 §5.2.1).
    """
    fields = encapsulated.fields()
    kind = der.oid_of(fields.take(der.OID))
    wrapped = fields.optional(0xA0)
    fields.end()
    if wrapped is None:
        raise _malformed("the signed content is missing")
    inner = wrapped.children()
    if [each.tag for each in inner] != [der.SEQUENCE if kind in _PLAIN_CONTENT else der.OCTET_STRING]:
        raise _malformed(f"the content {kind} has the wrong type")
    return kind, inner[0].der, inner[0].content


def _signer(info: der.Element) -> Signer:
    if info.tag != der.SEQUENCE:
        raise _malformed("the signer is no SignerInfo")
    fields = info.fields()
    version = der.integer_of(fields.take(der.INTEGER))
    sid, algorithm = fields.take(der.SEQUENCE, 0x80), fields.take(der.SEQUENCE)
    signed = fields.optional(0xA0)
    if signed is None:
        raise _malformed("the signer has no signed attributes")
    signature_algorithm, value = fields.take(der.SEQUENCE), fields.take(der.OCTET_STRING)
    unsigned = fields.optional(0xA1)
    fields.end()
    if version != (1 if sid.tag == der.SEQUENCE else 3):
        raise _malformed(f"signer version {version} does not go with the way it names its certificate")
    digest = digest_algorithm(algorithm.der)
    scheme = signature_scheme(signature_algorithm.der, digest)
    if scheme is None:
        raise _malformed("the signature algorithm is unknown here")
    return Signer(
        version=version,
        sid=_signer_id(sid),
        digest=digest,
        signed=der.element(der.SET, signed.content),
        signed_attributes=_attributes(signed, unique=True),
        unsigned_attributes={} if unsigned is None else _attributes(unsigned, unique=False),
        scheme=scheme,
        value=value.content,
    )


def _signer_id(sid: der.Element) -> SignerId:
    if sid.tag != der.SEQUENCE:
        return SignerId(b"", b"", sid.content)
    fields = sid.fields()
    issuer, serial = fields.take(der.SEQUENCE), fields.take(der.INTEGER)
    fields.end()
    return SignerId(issuer.der, serial.der, None)


def _attributes(attributes: der.Element, *, unique: bool) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in attributes.children():
        fields = attribute.fields()
        kind, values = der.oid_of(fields.take(der.OID)), fields.take(der.SET)
        fields.end()
        if attribute.tag != der.SEQUENCE:
            raise _malformed(f"the attribute {kind} is no SEQUENCE")
        if unique and kind in found:
            raise _malformed(f"the signed attribute {kind} occurs twice")
        found[kind] = found.get(kind, ()) + tuple(value.der for value in values.children())
    return found


def _certificates(certificates: der.Element | None) -> tuple[bytes, ...]:
    """X.509 certificates only: attribute certificates and other choices carry a context tag (RFC 5652 §10.2.2)."""
    if certificates is None:
        return ()
    found = tuple(each.der for each in certificates.children() if each.tag == der.SEQUENCE)
    for each in found:
        _check_certificate(each)
    return found


@lru_cache(maxsize=256)
def _check_certificate(data: bytes) -> None:
    """Raise for a certificate that can't be parsed, or that is odd where its signature does not reach.

    The outer algorithm repeats the inner one (RFC 5280 §4.1.1.2), and a signature value is whole octets.
    """
    fields = der.parse(data).fields()
    signed, algorithm, value = (
        fields.take(der.SEQUENCE).fields(),
        fields.take(der.SEQUENCE),
        fields.take(der.BIT_STRING),
    )
    fields.end()
    signed.optional(0xA0)
    signed.take(der.INTEGER)
    if algorithm.der != signed.take(der.SEQUENCE).der:
        raise _malformed("a certificate contradicts itself about its signature algorithm")
    if value.content[:1] != b"\0":
        raise _malformed("a certificate's signature value is cut off within an octet")
    certificate(data)


def _single(signer: Signer, kind: str) -> bytes | None:
    values = signer.signed_attributes.get(kind, ())
    return values[0] if len(values) == 1 else None


def _malformed(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check="cms-structure")
