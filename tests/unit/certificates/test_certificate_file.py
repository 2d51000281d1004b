"""Certificate files as CAs and services write them."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from kspsign.certificates.file import parse_certificates
from support.artifact_signing.world import certificates_only
from support.pki import Issued, ca, signer

ROOT = ca("Root")
CHAIN = (signer("Publisher", ROOT), ROOT)


@pytest.mark.parametrize("chain", [CHAIN, CHAIN[::-1]], ids=["leaf first", "root first"])
def test_pkcs7_is_read_in_the_order_that_it_has(chain: tuple[Issued, ...]) -> None:
    content = certificates_only(chain)
    text = base64.encodebytes(content).decode()
    armoured = f"-----BEGIN PKCS7-----\n{text}-----END PKCS7-----\n".encode()
    wanted = tuple(issued.certificate for issued in chain)
    assert parse_certificates(content) == parse_certificates(armoured) == wanted


def test_pkcs7_as_der_is_read_too() -> None:
    for encoding in (Encoding.DER, Encoding.PEM):
        content = pkcs7.serialize_certificates([issued.certificate for issued in CHAIN], encoding)
        assert set(parse_certificates(content)) == {issued.certificate for issued in CHAIN}


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"0\x80", b"0\x03\x02\x01\x01", b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n",
     bytes.fromhex("300b06092a864886f70d010701"), certificates_only(CHAIN)[:-1], certificates_only(CHAIN) + b"\0"],
)  # fmt: skip
def test_what_holds_no_certificate_gives_none(content: bytes) -> None:
    assert parse_certificates(content) == ()
