"""Reads one CMS SignedData for verification (RFC 5652 §5, RFC 3161 §2.4.2 for tokens): nothing trusted, nothing lost.

Octets that were signed are kept as they are in the file: Windows accepts attribute sets that are not sorted.
"""

from __future__ import annotations

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import (
    NOTHING,
    Carries,
    account_for_attributes,
    account_for_certificates,
    account_for_clocks,
    account_for_crls,
    account_for_repeated,
    read_attribute,
)
from kspsign.authenticode.cms.algorithms import digest_algorithm, signature_scheme
from kspsign.authenticode.cms.signature import SignedMessage, Signer, SignerId, find_signer
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult

_PLAIN_CONTENT = frozenset({oids.OID_SPC_INDIRECT_DATA, oids.OID_CTL})
"""Content types that are a SEQUENCE in the place of CMS' OCTET STRING."""


def read_signed_message(data: bytes, carries: Carries = NOTHING) -> SignedMessage:
    """The SignedData in the ContentInfo `data`, with what it carries unsigned and may not (`refused`).

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when it is not one, has not
    exactly one signer, lacks signed attributes, or bytes follow it.
    """
    info = der.parse(data).fields()
    kind = der.oid_of(info.take(der.OID))
    if kind != oids.OID_SIGNED_DATA:
        raise _malformed(f"the content type is {kind}, not signedData")
    signed = info.take(0xA0).children(1)
    info.end()
    if len(signed) != 1 or signed[0].tag != der.SEQUENCE:
        raise _malformed("it is not a SignedData")
    return _signed_data(signed[0].fields(), carries)


def read_signer(data: bytes, carries: Carries) -> Signer:
    """A bare SignerInfo (a PKCS#9 counter-signature); raises like read_signed_message."""
    return _signer(der.parse(data), carries)


def _signed_data(fields: der.Fields, carries: Carries) -> SignedMessage:
    version, algorithms, content = fields.take(der.INTEGER), fields.take(der.SET), fields.take(der.SEQUENCE)
    certificates, crls, signers = fields.optional(0xA0), fields.optional(0xA1), fields.take(der.SET).children(1)
    fields.end()
    if len(signers) != 1:
        raise _malformed("it has no signer")
    content_type, content_der, octets = _content(content)
    embedded = account_for_certificates(certificates, carries)
    signer = _signer(signers[0], carries)
    named = tuple(digest_algorithm(child.der) for child in algorithms.children(1))
    certificate = find_signer(signer, embedded.certificates)
    return SignedMessage(
        version=der.integer_of(version),
        content_type=content_type,
        content=octets,
        content_der=content_der,
        digest_algorithms=named,
        certificates=embedded.certificates,
        signer=signer,
        refused=(
            *account_for_crls(crls),
            *embedded.refused,
            *account_for_repeated(embedded.repeated, certificate),
            *account_for_clocks(embedded.clocks, certificate),
            *(() if named == (signer.digest_algorithm,) else ("digest algorithms that are not its signer's",)),
        ),
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
    if [element.tag for element in inner] != [der.SEQUENCE if kind in _PLAIN_CONTENT else der.OCTET_STRING]:
        raise _malformed(f"the content {kind} has the wrong type")
    return kind, inner[0].der, inner[0].content


def _signer(info: der.Element, carries: Carries) -> Signer:
    if info.tag != der.SEQUENCE:
        raise _malformed("the signer is not a SignerInfo")
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
        raise _malformed("the signature algorithm is unknown here, or has parameters that it may not have")
    carried = account_for_attributes(unsigned, carries)
    return Signer(
        version=version,
        sid=_signer_id(sid),
        digest_algorithm=digest,
        signed=der.element(der.SET, signed.content),
        signed_attributes=_signed_attributes(signed),
        unsigned_attributes=carried.attributes,
        refused=carried.refused,
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


def _signed_attributes(attributes: der.Element) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in attributes.children():
        kind, values = read_attribute(attribute)
        if kind in found:
            raise _malformed(f"the signed attribute {kind} occurs twice")
        found[kind] = values
    return found


def _malformed(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check="cms-structure")
