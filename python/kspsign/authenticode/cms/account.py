"""Accounts for what a CMS message carries outside its signature (RFC 5652 §5.1, §5.3).

A message is signed only in its content and its signed attributes. Every other element meets one of three fates: it
has the one value that it can have (checked in `read`), it is verified in its own right (certificates, timestamps,
further signatures), or it is refused here, named with its place and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from kspsign.authenticode.cms.clock_certificate import clock_certificate_fault
from kspsign.certificates import der
from kspsign.certificates.parse import parse_certificate

MAX_CERTIFICATES = 64
"""In one message. Real ones have six at most; each is parsed, and its bytes are kept."""

_NAMED = 4
_CLOCK_CERTIFICATE = 0xA1
_CHOICES = {
    0xA0: "extendedCertificate",
    0xA1: "v1AttrCert",
    0xA2: "v2AttrCert",
    0xA3: "other",
}


class Carries(NamedTuple):
    """What a kind of message may carry that it does not sign: unsigned attributes by OID, with the most values that
    each may have, and the certificate of a timestamp authority's clock."""

    attributes: Mapping[str, int] = MappingProxyType({})
    clock_certificate: bool = False


NOTHING = Carries()


class Embedded(NamedTuple):
    """The certificates of a message (DER), those of clocks, what is refused of the rest, and which certificates came
    again (number and DER)."""

    certificates: tuple[bytes, ...]
    clocks: tuple[der.Element, ...]
    refused: tuple[str, ...]
    repeated: tuple[tuple[int, bytes], ...] = ()


def account_for_certificates(found: der.Element | None, carries: Carries) -> Embedded:
    """The members of SignedData.certificates: X.509 certificates, and a clock's where `carries` has it.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) for a certificate that can't be parsed or encoded back, and for
    more than MAX_CERTIFICATES members.
    """
    if found is None:
        return Embedded((), (), ())
    members = found.children(MAX_CERTIFICATES)
    if not members:
        return Embedded((), (), ("an empty set of certificates",))
    certificates: dict[bytes, None] = {}
    clocks: list[der.Element] = []
    repeated: list[tuple[int, bytes]] = []
    refused: list[str] = []
    for number, member in enumerate(members, start=1):
        if member.tag == der.SEQUENCE:
            data = member.der
            check_certificate(data)
            if data in certificates:
                repeated.append((number, data))
            certificates[data] = None
        elif member.tag == _CLOCK_CERTIFICATE and carries.clock_certificate and not clocks:
            clocks.append(member)
        else:
            kind = _CHOICES.get(member.tag, f"tag 0x{member.tag:02X}")
            size = member.end - member.start
            refused.append(f"member {number} of the certificates, which is none ({kind}, {size} bytes)")
    return Embedded(tuple(certificates), tuple(clocks), tuple(refused), tuple(repeated))


def account_for_repeated(repeated: Sequence[tuple[int, bytes]], signer: bytes | None) -> Iterator[str]:
    """What is refused of the `repeated` certificates (number and DER): all but the `signer`'s once more, which Azure
    Artifact Signing writes twice into every message."""
    admitted = False
    for number, data in repeated:
        if data == signer and not admitted:
            admitted = True
        else:
            yield f"member {number} of the certificates, a repeated one ({len(data)} bytes)"


def account_for_clocks(clocks: tuple[der.Element, ...], signer: bytes | None) -> Iterator[str]:
    """What is refused of a message's clock certificates: those that are not about the certificate `signer`."""
    for clock in clocks:
        fault = "there is no signer to go with it" if signer is None else clock_certificate_fault(clock, signer)
        if fault is not None:
            yield f"a clock's certificate of {clock.end - clock.start} bytes: {fault}"


def account_for_crls(found: der.Element | None) -> Iterator[str]:
    """Revocation lists in a message are never used: Windows and the peers look past whatever is there."""
    if found is not None:
        yield f"SignedData.crls ({found.end - found.content_start} bytes)"


class UnsignedParts(NamedTuple):
    """The unsigned attributes of a signer by OID (values in DER), and what is refused of them."""

    attributes: dict[str, tuple[bytes, ...]]
    refused: tuple[str, ...]


def account_for_attributes(found: der.Element | None, carries: Carries) -> UnsignedParts:
    """The unsigned attributes of a SignerInfo: those that `carries` has, each once, with as many values as it may
    have and at least one. Raises TrustError when they are malformed."""
    if found is None:
        return UnsignedParts({}, ())
    attributes: dict[str, tuple[bytes, ...]] = {}
    refused: list[str] = []
    members = found.children()
    if not members:
        refused.append("an empty set of unsigned attributes")
    for member in members:
        kind, values = read_attribute(member)
        size, most = member.end - member.start, carries.attributes.get(kind)
        if most is None:
            refused.append(f"the attribute {kind} ({size} bytes), which nothing here verifies")
        elif kind in attributes:
            refused.append(f"the attribute {kind} a second time ({size} bytes)")
        elif len(set(values)) < len(values):
            refused.append(f"the attribute {kind} with a value that it has already ({size} bytes)")
        elif not 1 <= len(values) <= most:
            refused.append(f"the attribute {kind} with {len(values)} values ({size} bytes), not 1 to {most}")
        else:
            attributes[kind] = values
    return UnsignedParts(attributes, tuple(refused))


def list_refused(refused: Sequence[str]) -> str:
    """The sentence that names what is refused, the first few of it."""
    more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    return f"it carries what is neither signed nor verified: {'; '.join(refused[:_NAMED])}{more}"


def read_attribute(attribute: der.Element) -> tuple[str, tuple[bytes, ...]]:
    """OID and values of an Attribute (RFC 5652 §5.3); raises TrustError when it is none."""
    if attribute.tag != der.SEQUENCE:
        raise der.malformed(f"an attribute with tag 0x{attribute.tag:02X}")
    fields = attribute.fields()
    kind, values = der.oid_of(fields.take(der.OID)), fields.take(der.SET)
    fields.end()
    return kind, tuple(value.der for value in values.children())


@lru_cache(maxsize=256)
def check_certificate(data: bytes) -> None:
    """Raise for a certificate that can't be parsed, or that is odd where its signature does not reach.

    The outer algorithm repeats the inner one (RFC 5280 §4.1.1.2), and a signature value is whole octets.
    """
    fields = der.parse(data).fields()
    signed, algorithm = fields.take(der.SEQUENCE).fields(), fields.take(der.SEQUENCE)
    value = fields.take(der.BIT_STRING)
    fields.end()
    signed.optional(0xA0)
    signed.take(der.INTEGER)
    if algorithm.der != signed.take(der.SEQUENCE).der:
        raise der.malformed("a certificate contradicts itself about its signature algorithm")
    if value.content[:1] != b"\0":
        raise der.malformed("a certificate's signature value is cut off within an octet")
    parse_certificate(data)
