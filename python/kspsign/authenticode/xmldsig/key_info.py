"""KeyInfo (XML Signature §4.5): the certificates, and the bare key where a signer writes it as well."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.authenticode.cms.account import MAX_CERTIFICATES, check_certificate
from kspsign.authenticode.xmldsig.algorithms import DSIG
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.authenticode.xmldsig.structure import XmlFields, malformed, octets_of


class RsaKeyValue(NamedTuple):
    """A bare RSA key: modulus and exponent, as CryptoBinary has them."""

    modulus: bytes
    exponent: bytes


class KeyInfo(NamedTuple):
    """`certificates` are DER, in their order; `others` are elements that are not of XML Signature."""

    certificates: tuple[bytes, ...] = ()
    key_value: RsaKeyValue | None = None
    others: tuple[XmlNode, ...] = ()


def read_key_info(element: XmlNode | None, *, further: bool = False) -> KeyInfo:
    """The KeyInfo in `element`: a KeyValue and an X509Data, in either order, each at most once; `further` admits
    an Id, and elements of other namespaces.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) for anything else.
    """
    if element is None:
        return KeyInfo()
    found: dict[str, XmlNode] = {}
    others: list[XmlNode] = []
    for child in XmlFields(element, ("Id",) if further else ()).rest():
        if child.namespace != DSIG and further:
            others.append(child)
        elif child.namespace != DSIG or child.name not in {"KeyValue", "X509Data"} or child.name in found:
            raise malformed(f"KeyInfo has a {child.name} that it may not have")
        else:
            found[child.name] = child
    certificates = _certificates(found["X509Data"]) if "X509Data" in found else ()
    key_value = _key_value(found["KeyValue"]) if "KeyValue" in found else None
    return KeyInfo(certificates, key_value, tuple(others))


def _certificates(element: XmlNode) -> tuple[bytes, ...]:
    fields = XmlFields(element)
    found = tuple(map(octets_of, fields.several("X509Certificate")))
    fields.end()
    if not 1 <= len(found) <= MAX_CERTIFICATES or len(set(found)) < len(found):
        raise malformed(f"X509Data has {len(found)} certificates, or one twice")
    for certificate in found:
        check_certificate(certificate)
    return found


def _key_value(element: XmlNode) -> RsaKeyValue:
    outer = XmlFields(element)
    fields = XmlFields(outer.take("RSAKeyValue"))
    outer.end()
    modulus, exponent = octets_of(fields.take("Modulus")), octets_of(fields.take("Exponent"))
    fields.end()
    return RsaKeyValue(modulus, exponent)


def rsa_key_value(key: rsa.RSAPublicKey) -> RsaKeyValue:
    """The key as a KeyValue has it (CryptoBinary, XML Signature §4.1: without leading zeros)."""
    numbers = key.public_numbers()
    return RsaKeyValue(_binary(numbers.n), _binary(numbers.e))


def key_value_fault(stated: RsaKeyValue | None, key: object) -> str | None:
    """Why `stated` is not the certificate's `key`, None when it is or none is stated."""
    if stated is None or (isinstance(key, rsa.RSAPublicKey) and stated == rsa_key_value(key)):
        return None
    return "its KeyValue is another key than the certificate's"


def _binary(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
