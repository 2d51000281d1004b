"""Writes signatures: elements spelled as canonical XML has them; what is signed has its bytes from the start."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from kspsign.authenticode.cms.algorithms import Scheme
from kspsign.authenticode.xmldsig.algorithms import DSIG, Dialect, SignatureMethod
from kspsign.authenticode.xmldsig.canonical import Canonicalization, canonicalize, escape_text, escape_value
from kspsign.authenticode.xmldsig.document import XmlNode, parse_document
from kspsign.authenticode.xmldsig.key_info import RsaKeyValue
from kspsign.certificates.parse import parse_certificate
from kspsign.model.values import DigestAlgorithm


class Markup(str):
    """XML as it is written; a plain str among the content of an element is text, to be escaped."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, str] | None = None, *content: str) -> Markup:
    """An element with these attributes (xmlns among them, in the order in which they are given) and this content."""
    written = "".join(f' {key}="{escape_value(value)}"' for key, value in (attributes or {}).items())
    inner = "".join(item if isinstance(item, Markup) else escape_text(item) for item in content)
    return Markup(f"<{name}{written}>{inner}</{name}>")


def base64_text(octets: bytes) -> str:
    """Octets in base64, on one line."""
    return base64.b64encode(octets).decode()


class ReferenceTo(NamedTuple):
    """A reference to be written; `transforms` are identifiers, `kind` and `uri` may be empty (`uri` is written all the
    same: it is the whole document then)."""

    uri: str
    digest: bytes
    algorithm: DigestAlgorithm
    transforms: Sequence[str] = ()
    kind: str = ""


def reference(to: ReferenceTo, dialect: Dialect) -> Markup:
    """The Reference element."""
    transforms = [element("Transform", {"Algorithm": uri}) for uri in to.transforms]
    return element(
        "Reference",
        {"URI": to.uri, **({"Type": to.kind} if to.kind else {})},
        *([element("Transforms", None, *transforms)] if transforms else []),
        element("DigestMethod", {"Algorithm": dialect.digest_uri(to.algorithm)}),
        element("DigestValue", None, base64_text(to.digest)),
    )


def signed_info(
    method: SignatureMethod, canonicalization: Canonicalization, references: Sequence[ReferenceTo], dialect: Dialect
) -> Markup:
    """The SignedInfo element, without a namespace declaration: it is written into a Signature that has it."""
    return element(
        "SignedInfo",
        None,
        element("CanonicalizationMethod", {"Algorithm": canonicalization}),
        element("SignatureMethod", {"Algorithm": dialect.signature_uri(method)}),
        *(reference(to, dialect) for to in references),
    )


def octets_to_sign(signed: Markup, canonicalization: Canonicalization) -> bytes:
    """The canonical form of a SignedInfo in a Signature around which no other namespace is declared."""
    return canonicalize(in_signature(signed), canonicalization)


def in_signature(markup: Markup) -> XmlNode:
    """An element as it is read directly in a Signature."""
    return parse_document(element("Signature", {"xmlns": DSIG}, markup).encode()).root.elements[0]


def digest_to_sign(signed: Markup, canonicalization: Canonicalization, algorithm: DigestAlgorithm) -> bytes:
    """What the key store signs."""
    return hashlib.new(algorithm, octets_to_sign(signed, canonicalization)).digest()


def signature_value(value: bytes, leaf: bytes) -> Markup:
    """The SignatureValue of what the key store returned: of ECDSA the two numbers of the DER, one after the other."""
    key = parse_certificate(leaf).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.key_size + 7) // 8
        value = b"".join(number.to_bytes(size) for number in decode_dss_signature(value))
    return element("SignatureValue", None, base64_text(value))


def method_of(leaf: bytes, algorithm: DigestAlgorithm) -> SignatureMethod:
    """How the key of the certificate `leaf` (DER) signs."""
    is_rsa = isinstance(parse_certificate(leaf).public_key(), rsa.RSAPublicKey)
    return SignatureMethod(Scheme.RSA if is_rsa else Scheme.ECDSA, algorithm)


def x509_data(chain: Sequence[bytes]) -> Markup:
    """The X509Data element with the certificates, the signer's first."""
    return element("X509Data", None, *(element("X509Certificate", None, base64_text(der)) for der in chain))


def key_value(key: RsaKeyValue) -> Markup:
    """The KeyValue element."""
    modulus, exponent = base64_text(key.modulus), base64_text(key.exponent)
    numbers = (element("Modulus", None, modulus), element("Exponent", None, exponent))
    return element("KeyValue", None, element("RSAKeyValue", None, *numbers))
