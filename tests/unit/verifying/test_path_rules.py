"""Rules of X.509 that x509-limbo tests and that bear on code signing, and what an anchor is not asked.

x509-limbo speaks of TLS and of CAs that keep every MUST of RFC 5280; where we are laxer on purpose, the test says why.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asn1crypto import keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from kspsign.certificates import der
from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.roots import TrustAnchors
from support.pki import CODE_SIGNING, MOMENT, Issued, altered, ca, extended, issue, key_usage, signer

PRIVATE = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00")
WITHOUT_CA = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.19"), b"\x30\x03\x02\x01\x00")
EXPLICITLY_WITHOUT_CA = x509.UnrecognizedExtension(WITHOUT_CA.oid, b"\x30\x06\x01\x01\x00\x02\x01\x00")
SERIALS = {0: False, -1: False, -(1 << 70): False, 1: True, (1 << 159) - 1: True, 1 << 159: False, 1 << 200: False}


def found(root: Issued, leaf: Issued, *between: Issued) -> list[tuple[str, Hresult]]:
    """The faults of the path, as check and result."""
    anchors = TrustAnchors.from_certificates([root.der])
    candidates = [issued.der for issued in between]
    result = validate_chain(leaf.der, candidates, anchors, CertificatePurpose.CODE_SIGNING, MOMENT)
    return [(fault.check, fault.hresult) for fault in result.faults]


def with_serial(number: int) -> Callable[[asn1_x509.TbsCertificate], None]:
    def change(content: asn1_x509.TbsCertificate) -> None:
        content["serial_number"] = number

    return change


MALFORMED = [("certificate-chain", Hresult.TRUST_E_MALFORMED_SIGNATURE)]
NO_CA = [("certificate-chain", Hresult.TRUST_E_BASIC_CONSTRAINTS)]


@pytest.mark.parametrize(("serial", "fits"), SERIALS.items())
def test_serial_numbers_are_positive_and_of_twenty_octets(serial: int, *, fits: bool) -> None:
    root = ca("Root")
    leaf = altered(signer("Leaf", root), root, with_serial(serial))
    assert found(root, leaf) == ([] if fits else MALFORMED)
    between = altered(ca("Between", root), root, with_serial(serial))
    assert found(root, signer("Leaf", between), between) == ([] if fits else MALFORMED)


@pytest.mark.parametrize("serial", [0, -1, 1 << 200])
def test_a_root_that_the_user_named_may_have_any_serial_number(serial: int) -> None:
    """Roots with a serial number of zero are in use."""
    plain = ca("Root")
    root = altered(plain, plain, with_serial(serial))
    assert found(root, signer("Leaf", root)) == []


def with_explicit_curve(content: asn1_x509.TbsCertificate) -> None:
    """P-256 by its numbers in place of its name (RFC 5480 §2.1.1 forbids it)."""
    prime = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    generator = bytes.fromhex(
        "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
        "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
    )
    parameters = der.sequence(
        der.integer(1),
        der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(prime)),
        der.sequence(der.octet_string((prime - 3).to_bytes(32)), der.octet_string(b.to_bytes(32))),
        der.octet_string(generator),
        der.integer(order),
        der.integer(1),
    )
    key = content["subject_public_key_info"]
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), parameters)
    point = der.element(der.BIT_STRING, b"\0" + bytes(key["public_key"]))
    content["subject_public_key_info"] = keys.PublicKeyInfo.load(der.sequence(algorithm, point))


def test_curves_have_names() -> None:
    root = ca("Root")
    assert found(root, altered(signer("Leaf", root), root, lambda _: None)) == []
    explicit = found(root, altered(signer("Leaf", root), root, with_explicit_curve))
    assert explicit == [("certificate-chain", Hresult.NTE_BAD_ALGID)]
    between = altered(ca("Between", root), root, with_explicit_curve)
    assert found(root, signer("Leaf", between), between) != []


def test_a_leaf_that_signs_certificates_is_a_ca() -> None:
    root = ca("Root")
    usages = key_usage("digital_signature", "key_cert_sign")
    leaf = issue("Leaf", root, extensions=[extended(CODE_SIGNING), usages])
    assert found(root, leaf) == [("key-usage", Hresult.CERT_E_WRONG_USAGE)]
    no_ca = x509.BasicConstraints(ca=False, path_length=None), True
    assert found(root, issue("Leaf", root, extensions=[extended(CODE_SIGNING), usages, no_ca])) != []
    is_ca = x509.BasicConstraints(ca=True, path_length=None), True
    assert found(root, issue("Leaf", root, extensions=[extended(CODE_SIGNING), usages, is_ca])) == []


def test_basic_constraints_of_a_ca_need_not_be_critical() -> None:
    """RFC 5280 §4.2.1.9 asks CAs for it; verifiers lose nothing, and PKITS 4.6.4 wants such a path accepted."""
    root = ca("Root")
    constraints = x509.BasicConstraints(ca=True, path_length=None), False
    between = issue("Between", root, extensions=[constraints, key_usage("key_cert_sign")])
    assert found(root, signer("Leaf", between), between) == []
    without = issue("Between", root, extensions=[key_usage("key_cert_sign")])
    assert found(root, signer("Leaf", without), without) == NO_CA


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_no_more_cas_follow_than_a_path_length_allows(depth: int) -> None:
    root = ca("Root", path_length=depth)
    chain = [root]
    for number in range(depth):
        chain.append(ca(f"CA {number}", chain[-1]))
    assert found(root, signer("Leaf", chain[-1]), *chain[1:]) == []
    chain.append(ca("One more", chain[-1]))
    assert found(root, signer("Leaf", chain[-1]), *chain[1:]) == NO_CA


def test_a_path_is_of_ten_certificates_at_most() -> None:
    chain = [ca("Root")]
    for number in range(8):
        chain.append(ca(f"CA {number}", chain[-1]))
    assert found(chain[0], signer("Leaf", chain[-1]), *chain[1:]) == []
    chain.append(ca("One more", chain[-1]))
    assert found(chain[0], signer("Leaf", chain[-1]), *chain[1:]) == [("certificate-chain", Hresult.CERT_E_CHAINING)]


def test_an_anchor_is_not_asked_for_its_critical_extensions() -> None:
    root = ca("Root", None, (PRIVATE, True))
    assert found(root, signer("Leaf", root)) == []
    between = ca("Between", root, (PRIVATE, True))
    unknown = [("certificate-chain", Hresult.CERT_E_CRITICAL)]
    assert found(root, signer("Leaf", between), between) == unknown
    assert found(between, signer("Leaf", between)) == []
    assert found(root, signer("Leaf", root, (PRIVATE, True))) == unknown
    alone = signer("Alone", None, (PRIVATE, True))
    assert found(alone, alone) == []


@pytest.mark.parametrize("constraints", [WITHOUT_CA, EXPLICITLY_WITHOUT_CA], ids=["default", "explicit"])
def test_a_path_length_without_ca_is_judged_by_the_rules_of_paths(constraints: x509.UnrecognizedExtension) -> None:
    """The parser makes an error of it; to the rules it is a certificate that is no CA."""
    root = ca("Root")
    leaf = issue("Leaf", root, extensions=[extended(CODE_SIGNING), key_usage("digital_signature"), (constraints, True)])
    assert found(root, leaf) == []
    between = issue("Between", root, extensions=[key_usage("key_cert_sign"), (constraints, True)])
    assert found(root, signer("Leaf", between), between) == NO_CA
    odd = x509.UnrecognizedExtension(constraints.oid, b"\x30\x03\x04\x01\x00")
    assert found(root, issue("Leaf", root, extensions=[extended(CODE_SIGNING), (odd, True)])) == MALFORMED
