"""What each certificate of a chain must be and may do; every refusal beside the accepted twin."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.roots import TrustAnchors
from support.pki import (
    BEGIN,
    CODE_SIGNING,
    END,
    MOMENT,
    TIMESTAMPING,
    Extension,
    Issued,
    Key,
    ca,
    extended,
    issue,
    key_usage,
    signer,
    version_1,
)

CHAIN, VALIDITY = "certificate-chain", "certificate-validity"
EXTENDED, USAGE = "extended-key-usage", "key-usage"
NO_CA: Extension = (x509.BasicConstraints(ca=False, path_length=None), True)
IS_CA: Extension = (x509.BasicConstraints(ca=True, path_length=None), True)
SIGNS_CERTIFICATES = key_usage("key_cert_sign")


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root")


def faults(
    root: Issued,
    leaf: Issued,
    *between: Issued,
    purpose: CertificatePurpose = CertificatePurpose.CODE_SIGNING,
    moment: datetime = MOMENT,
) -> list[tuple[str, Hresult]]:
    anchors = TrustAnchors.from_certificates([root.der])
    result = validate_chain(leaf.der, [issued.der for issued in between], anchors, purpose, moment)
    assert all(fault.detail for fault in result.faults)
    return [(fault.check, fault.hresult) for fault in result.faults]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (BEGIN - timedelta(seconds=1), [(VALIDITY, Hresult.CERT_E_EXPIRED)]),
        (BEGIN, []),
        (END, []),
        (END + timedelta(seconds=1), [(VALIDITY, Hresult.CERT_E_EXPIRED)]),
    ],
)
def test_every_certificate_is_valid_at_the_moment(moment: datetime, expected: list[tuple[str, Hresult]]) -> None:
    wide = {"begin": BEGIN - timedelta(days=9), "end": END + timedelta(days=9)}
    for narrow in range(3):
        sides = [wide] * 3
        sides[narrow] = {}
        root = ca("Root", None, **sides[0])
        middle = ca("Middle", root, **sides[1])
        assert faults(root, signer("Leaf", middle, **sides[2]), middle, moment=moment) == expected


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ((IS_CA, SIGNS_CERTIFICATES), []),
        ((IS_CA,), []),
        ((NO_CA,), [(CHAIN, Hresult.TRUST_E_BASIC_CONSTRAINTS)]),
        ((), [(CHAIN, Hresult.TRUST_E_BASIC_CONSTRAINTS)]),
        ((IS_CA, key_usage("digital_signature")), [(USAGE, Hresult.CERT_E_WRONG_USAGE)]),
        ((IS_CA, extended(CODE_SIGNING)), []),
        ((IS_CA, extended(TIMESTAMPING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)), []),
        ((IS_CA, extended(TIMESTAMPING)), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
    ],
)
def test_an_intermediate_is_a_ca_for_the_purpose(
    root: Issued, extensions: tuple[Extension, ...], expected: list[tuple[str, Hresult]]
) -> None:
    middle = issue("Middle", root, extensions=extensions)
    assert faults(root, signer("Leaf", middle), middle) == expected


def test_a_code_signing_leaf_can_issue_nothing(root: Issued) -> None:
    leaf = signer("Leaf", root)
    below = signer("Below", leaf)
    assert faults(root, leaf) == []
    assert (CHAIN, Hresult.TRUST_E_BASIC_CONSTRAINTS) in faults(root, below, leaf)


def test_a_root_of_version_1_is_a_root_but_a_later_one_must_say_it_is_a_ca() -> None:
    old = version_1(issue("Old"))
    assert faults(old, signer("Leaf", old)) == []
    for silent in (issue("Silent"), issue("No CA", extensions=(NO_CA,))):
        assert faults(silent, signer("Leaf", silent)) == [(CHAIN, Hresult.TRUST_E_BASIC_CONSTRAINTS)]


@pytest.mark.parametrize(("limit", "accepted"), [(0, False), (1, False), (2, True), (None, True)])
def test_the_path_length_counts_the_cas_below(limit: int | None, *, accepted: bool) -> None:
    root = ca("Root", path_length=limit)
    upper = ca("Upper", root)
    lower = ca("Lower", upper)
    expected = [] if accepted else [(CHAIN, Hresult.TRUST_E_BASIC_CONSTRAINTS)]
    assert faults(root, signer("Leaf", lower), lower, upper) == expected


def test_a_self_issued_certificate_does_not_count_for_the_path_length() -> None:
    root = ca("Root", path_length=0)
    renewed = ca("Root", root)
    assert faults(root, signer("Leaf", renewed), renewed) == []


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ((extended(CODE_SIGNING), key_usage("digital_signature")), []),
        ((extended(CODE_SIGNING),), []),
        ((extended(ExtendedKeyUsageOID.EMAIL_PROTECTION, CODE_SIGNING),), []),
        ((), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(TIMESTAMPING),), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(CODE_SIGNING), key_usage("key_encipherment")), [(USAGE, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(CODE_SIGNING), key_usage("content_commitment")), [(USAGE, Hresult.CERT_E_WRONG_USAGE)]),
    ],
)
def test_a_signing_leaf_states_code_signing(
    root: Issued, extensions: tuple[Extension, ...], expected: list[tuple[str, Hresult]]
) -> None:
    assert faults(root, issue("Leaf", root, extensions=extensions)) == expected


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ((extended(TIMESTAMPING, critical=True), key_usage("digital_signature")), []),
        ((extended(TIMESTAMPING, critical=True), key_usage("content_commitment")), []),
        ((extended(TIMESTAMPING), key_usage("digital_signature")), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(TIMESTAMPING, CODE_SIGNING, critical=True),), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(CODE_SIGNING, critical=True),), [(EXTENDED, Hresult.CERT_E_WRONG_USAGE)]),
        ((extended(TIMESTAMPING, critical=True), SIGNS_CERTIFICATES), [(USAGE, Hresult.CERT_E_WRONG_USAGE)]),
    ],
)
def test_a_timestamping_leaf_does_nothing_else(
    root: Issued, extensions: tuple[Extension, ...], expected: list[tuple[str, Hresult]]
) -> None:
    leaf = issue("Timestamper", root, extensions=extensions)
    assert faults(root, leaf, purpose=CertificatePurpose.TIMESTAMPING) == expected


def test_a_critical_extension_that_is_not_known_is_refused(root: Issued) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
    assert faults(root, signer("Leaf", root, (unknown, False))) == []
    assert faults(root, signer("Leaf", root, (unknown, True))) == [(CHAIN, Hresult.CERT_E_CRITICAL)]
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.4.1"), None)])
    assert faults(root, signer("Leaf", root, (policies, True))) == []
    assert faults(root, signer("Leaf", root, (x509.InhibitAnyPolicy(0), True))) == []
    stapled = x509.TLSFeature([x509.TLSFeatureType.status_request])
    assert faults(root, signer("Leaf", root, (stapled, True))) == [(CHAIN, Hresult.CERT_E_CRITICAL)]


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        (rsa.generate_private_key(65537, 2048), True),
        (rsa.generate_private_key(65537, 1024), False),  # noqa: S505 - made to be refused
        (ec.generate_private_key(ec.SECP384R1()), True),
        (ec.generate_private_key(ec.SECP521R1()), True),
        (ec.generate_private_key(ec.SECP256K1()), False),
        (ed25519.Ed25519PrivateKey.generate(), False),
    ],
    ids=["rsa-2048", "rsa-1024", "p-384", "p-521", "secp256k1", "ed25519"],
)
def test_weak_and_unknown_keys_are_refused_anywhere(root: Issued, key: Key, *, accepted: bool) -> None:
    expected = [] if accepted else [(CHAIN, Hresult.NTE_BAD_ALGID)]
    assert faults(root, signer("Leaf", root, key=key)) == expected
    middle = ca("Middle", root, key=key)
    assert faults(root, signer("Leaf", middle), middle) == expected


def test_everything_that_is_wrong_is_said(root: Issued) -> None:
    middle = ca("Middle", root, extended(TIMESTAMPING))
    leaf = issue("Leaf", middle, extensions=(key_usage("key_agreement"),), end=MOMENT - timedelta(days=1))
    assert sorted(check for check, _ in faults(root, leaf, middle)) == [VALIDITY, EXTENDED, EXTENDED, USAGE]
