"""Reads a Signature element (XML Signature §4), and checks its value and the digests of its references."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kspsign.authenticode.cms.algorithms import Scheme, signature_holds
from kspsign.authenticode.xmldsig.algorithms import DSIG, Dialect, SignatureMethod
from kspsign.authenticode.xmldsig.canonical import Canonicalization, canonicalize
from kspsign.authenticode.xmldsig.document import Document, XmlNode
from kspsign.authenticode.xmldsig.key_info import KeyInfo, key_value_fault, read_key_info
from kspsign.authenticode.xmldsig.structure import (
    XmlFields,
    algorithm_of,
    malformed,
    octets_of,
    unknown_algorithm,
)
from kspsign.certificates.parse import parse_certificate
from kspsign.model.values import DigestAlgorithm


class Transform(NamedTuple):
    """A step between what a reference names and what is hashed; `parameters` are the elements in it."""

    algorithm: str
    parameters: tuple[XmlNode, ...]


class Reference(NamedTuple):
    """What is hashed: `uri` names it, `kind` says what it is (the attribute Type), each "" when it is not there."""

    uri: str
    kind: str
    transforms: tuple[Transform, ...]
    algorithm: DigestAlgorithm
    digest: bytes


class SignedInfo(NamedTuple):
    """What the signature value is over, in its canonical form."""

    element: XmlNode
    canonicalization: Canonicalization
    method: SignatureMethod
    references: tuple[Reference, ...]

    @property
    def octets(self) -> bytes:
        """The canonical form."""
        return canonicalize(self.element, self.canonicalization)

    def digest(self) -> bytes:
        """What the key signed."""
        return hashlib.new(self.method.algorithm, self.octets).digest()


class XmlSignature(NamedTuple):
    """A signature. `value` is as in XML: of ECDSA two numbers of the same length, one after the other (RFC 6931
    §2.3.6). `objects` are its Object elements, whatever is in them."""

    element: XmlNode
    signed_info: SignedInfo
    value: bytes
    key_info: KeyInfo
    objects: tuple[XmlNode, ...]

    def signer_fault(self, certificate: bytes | None) -> str | None:
        """Why the value is not valid under the certificate (DER), None when it is."""
        if certificate is None:
            return "the signer's certificate is not in the signature"
        try:
            key = parse_certificate(certificate).public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
            return f"the key of the signer's certificate can't be used: {broken}"
        method, value = self.signed_info.method, self.value
        if method.scheme is Scheme.ECDSA:
            if not isinstance(key, ec.EllipticCurvePublicKey) or len(value) != 2 * ((key.key_size + 7) // 8):
                return "the signature does not match the signer's certificate"
            middle = len(value) // 2
            value = encode_dss_signature(int.from_bytes(value[:middle]), int.from_bytes(value[middle:]))
        if not signature_holds(key, value, self.signed_info.digest(), method.algorithm, method.scheme):
            return "the signature does not match the signer's certificate"
        return key_value_fault(self.key_info.key_value, key)


def read_xml_signature(element: XmlNode, dialect: Dialect, *, further_key_info: bool = False) -> XmlSignature:
    """The signature that `element` is; `further_key_info` says that its KeyInfo may have an Id, and elements of other
    namespaces, which are the caller's to judge (`key_info.others`).

    Raises TrustError: TRUST_E_MALFORMED_SIGNATURE (check "cms-structure") for what is not of the specification's
    schema, NTE_BAD_ALGID (check "algorithms") for an algorithm that is not of the `dialect`.
    """
    if not element.is_named(DSIG, "Signature"):
        raise malformed(f"{element.name} is not a Signature")
    fields = XmlFields(element, ("Id",))
    signed_info, value = _signed_info(fields.take("SignedInfo"), dialect), octets_of(fields.take("SignatureValue"))
    key_info = read_key_info(fields.optional("KeyInfo"), further=further_key_info)
    objects = fields.several("Object")
    fields.end()
    return XmlSignature(element, signed_info, value, key_info, objects)


def _signed_info(element: XmlNode, dialect: Dialect) -> SignedInfo:
    fields = XmlFields(element)
    canonicalization = canonicalization_of(fields.take("CanonicalizationMethod"))
    method_element = fields.take("SignatureMethod")
    uri = algorithm_of(method_element)
    XmlFields(method_element, ("Algorithm",)).end()
    method = dialect.signatures.get(uri)
    if method is None:
        raise unknown_algorithm(uri)
    references = tuple(read_reference(found, dialect) for found in fields.several("Reference"))
    fields.end()
    if not references:
        raise malformed("it refers to nothing")
    return SignedInfo(element, canonicalization, method, references)


def canonicalization_of(element: XmlNode) -> Canonicalization:
    """The canonicalisation that a method or transform names, without parameters; raises TrustError for others."""
    uri = algorithm_of(element)
    XmlFields(element, ("Algorithm",)).end()
    try:
        return Canonicalization(uri)
    except ValueError as unknown:
        raise unknown_algorithm(uri) from unknown


def read_reference(element: XmlNode, dialect: Dialect) -> Reference:
    """The reference that `element` is, its transforms as they are; raises like read_xml_signature."""
    fields = XmlFields(element, ("URI", "Type"))
    container = fields.optional("Transforms")
    transforms = () if container is None else tuple(map(_transform, _transforms(container)))
    method_element = fields.take("DigestMethod")
    uri = algorithm_of(method_element)
    XmlFields(method_element, ("Algorithm",)).end()
    algorithm = dialect.digests.get(uri)
    if algorithm is None:
        raise unknown_algorithm(uri)
    digest = octets_of(fields.take("DigestValue"))
    fields.end()
    if len(digest) != hashlib.new(algorithm).digest_size:
        raise malformed(f"a digest of {len(digest)} bytes is not of {algorithm}")
    return Reference(element.get("URI") or "", element.get("Type") or "", transforms, algorithm, digest)


def _transforms(container: XmlNode) -> tuple[XmlNode, ...]:
    fields = XmlFields(container)
    found = fields.several("Transform")
    fields.end()
    if not found:
        raise malformed("Transforms is empty")
    return found


def _transform(element: XmlNode) -> Transform:
    algorithm = algorithm_of(element)
    return Transform(algorithm, XmlFields(element, ("Algorithm",)).rest())


def canonical_digest(
    apex: Document | XmlNode, method: Canonicalization, algorithm: DigestAlgorithm, *, omit: XmlNode | None = None
) -> bytes:
    """The digest of the canonical form of `apex` without `omit`."""
    return hashlib.new(algorithm, canonicalize(apex, method, omit=omit)).digest()
