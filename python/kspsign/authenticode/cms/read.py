"""Reads one CMS SignedData for verification (RFC 5652 §5, RFC 3161 §2.4.2 for tokens): nothing trusted, nothing lost.

Octets that were signed are kept as they stand in the file: Windows accepts attribute sets that are not sorted.
"""

from __future__ import annotations

from functools import lru_cache

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import digest_algorithm, signature_scheme
from kspsign.authenticode.cms.signature import SignedMessage, Signer, SignerId
from kspsign.certificates import der
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult

_PLAIN_CONTENT = frozenset({oids.OID_SPC_INDIRECT_DATA, oids.OID_CTL})
"""Content types that are a SEQUENCE in the place of CMS' OCTET STRING."""


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
        digest_algorithm=digest,
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
    parse_certificate(data)


def _malformed(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check="cms-structure")
