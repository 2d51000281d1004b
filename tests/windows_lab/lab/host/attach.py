"""A signature whose value comes from elsewhere, as SignerSignEx3 makes one with a dlib.

osslsigncode signs a copy with a key of the lab: what it makes of content and attributes is kept, and the key's value,
its certificate and issuer give way to those of the dlib (RFC 5652 section 5: neither is below the signature).
"""

from __future__ import annotations

import hashlib

from windows_lab.lab.host.der import Element, elements, encoded

SEQUENCE, SET, OCTETS, ATTRIBUTES, CERTIFICATES = 0x30, 0x31, 0x04, 0xA0, 0xA0


def to_sign(message: bytes, digest: str) -> bytes:
    """The digest of the attributes that are signed (RFC 5652 section 5.4: as a SET)."""
    attributes = signer(message)[3]
    return hashlib.new(digest, encoded(SET, attributes.content)).digest()


def assembled(message: bytes, value: bytes, leaf: bytes, certificates: list[bytes]) -> bytes:
    """`message` (a ContentInfo) with this value, of the key of `leaf`."""
    kind, explicit = next(elements(message)).parts
    version, digests, content, *_certificates, _signers = explicit.parts[0].parts
    number, _identifier, digest, attributes, algorithm, *_rest = signer(message)
    made = encoded(
        SEQUENCE, number.whole, identifier(leaf), digest.whole, attributes.whole, algorithm.whole,
        encoded(OCTETS, value),
    )  # fmt: skip
    held = encoded(CERTIFICATES, *dict.fromkeys([leaf, *certificates]))
    data = encoded(SEQUENCE, version.whole, digests.whole, content.whole, held, encoded(SET, made))
    return encoded(SEQUENCE, kind.whole, encoded(0xA0, data))


def signer(message: bytes) -> list[Element]:
    """The parts of the only SignerInfo."""
    _kind, explicit = next(elements(message)).parts
    return explicit.parts[0].parts[-1].parts[0].parts


def identifier(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber of a certificate (RFC 5280 section 4.1)."""
    fields = next(elements(certificate)).parts[0].parts
    fields = fields[1:] if fields[0].tag == 0xA0 else fields
    serial, _algorithm, issuer = fields[:3]
    return encoded(SEQUENCE, issuer.whole, serial.whole)
