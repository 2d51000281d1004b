"""A certificate's outline is what a whole parser finds, and bytes of another structure have none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kspsign.certificates import der
from kspsign.certificates.parse import CHAIN_CHECK, outline
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.errors import TrustError


def test_it_is_what_a_parser_finds(authority: EmbeddedAuthority) -> None:
    for data in authority.signing_chain:
        parsed, found = x509.load_der_x509_certificate(data), outline(data)
        assert found.serial == der.integer(parsed.serial_number)
        assert (found.issuer, found.subject) == (parsed.issuer.public_bytes(), parsed.subject.public_bytes())
        assert found.key == parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_certificate_of_version_1_has_one(authority: EmbeddedAuthority) -> None:
    """The version is left out then (RFC 5280 §4.1.2.1)."""
    data = authority.signing_chain[0]
    version, *fields = (field.der for field in der.parse(data).first().children())
    assert version[0] == 0xA0
    assert outline(rebuilt(data, der.sequence(*fields))) == outline(data)


def rebuilt(data: bytes, signed: bytes) -> bytes:
    """The certificate with another signed part."""
    return der.sequence(signed, *(child.der for child in der.parse(data).children()[1:]))


def without_key(data: bytes) -> bytes:
    fields = der.parse(data).first().children()
    return rebuilt(data, der.sequence(*(field.der for field in fields[:6])))


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda data: data[:-1],
    "data follows": lambda data: data + b"\0",
    "a set": lambda data: bytes([der.SET]) + data[1:],
    "a set in it": lambda data: data[:4] + bytes([der.SET]) + data[5:],
    "a text": lambda _: der.element(0x0C, b"certificate"),
    "nothing in it": lambda _: der.sequence(),
    "no key": without_key,
    "of no certain length": lambda data: b"\x30\x80" + data[4:] + b"\0\0",
    "a length that is not the shortest": lambda data: b"\x30\x83\0" + data[2:],
    "too large": lambda data: rebuilt(data, der.octet_string(bytes(64 << 10))),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_other_bytes_have_none(authority: EmbeddedAuthority, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TrustError) as refused:
        outline(change(authority.signing_chain[0]))
    assert refused.value.check == CHAIN_CHECK
