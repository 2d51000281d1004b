"""Distinguished names compared as RFC 5280 §7.1 wants it, whatever string types their writers chose."""

from __future__ import annotations

from cryptography import x509

from kspsign.certificates import der
from kspsign.certificates.parse import extension, parse_certificate

_CODECS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
"""UTF8String, PrintableString, TeletexString, IA5String, UniversalString and BMPString, by their tags."""

_Rdn = frozenset[tuple[str, object]]


def same_name(one: bytes, other: bytes) -> bool:
    """Whether two DER Names are one: case and runs of white space don't count, nor the type of a string.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they differ and one is not a Name.
    """
    return one == other or _rdns(one) == _rdns(other)


def alternative_names(certificate: bytes) -> tuple[bytes, ...]:
    """The subject alternative names of a certificate (DER), each a GeneralName as DER (RFC 5280 §4.2.1.6).

    Raises TrustError when its extensions are malformed.
    """
    found = extension(parse_certificate(certificate), x509.SubjectAlternativeName)
    return () if found is None else tuple(child.der for child in der.parse(found.value.public_bytes()).children())


def _rdns(name: bytes) -> tuple[_Rdn, ...]:
    return tuple(frozenset(map(_attribute, rdn.children())) for rdn in der.parse(name).children())


def _attribute(pair: der.Element) -> tuple[str, object]:
    fields = pair.children()
    if len(fields) != 2:
        raise der.malformed(f"an attribute of a name has {len(fields)} fields")
    kind, value = fields
    codec = _CODECS.get(value.tag)
    if codec is None:
        return der.oid_of(kind), value.der
    return der.oid_of(kind), " ".join(value.content.decode(codec, "replace").casefold().split())
