"""Which keys and digests count in a chain: by default, and by what a policy admits."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import LEGACY, STRONG, Strength
from support.pki import MOMENT, Issued, Key, ca, sha1_signed, signer

SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - made to be refused
P256_ONLY = STRONG._replace(curves=frozenset({"P-256"}))


def faults(strength: Strength, root: Issued, *chain: Issued) -> list[Hresult]:
    anchors = TrustAnchors.from_certificates([root.der])
    leaf, *between = (issued.der for issued in chain)
    return [
        fault.hresult
        for fault in validate_chain(leaf, between, anchors, CertificatePurpose.CODE_SIGNING, MOMENT, strength).faults
    ]


@pytest.mark.parametrize(
    ("key", "strength", "counts"),
    [
        (rsa.generate_private_key(65537, 2048), STRONG, True),
        (SHORT, STRONG, False),
        (SHORT, LEGACY, True),
        (ec.generate_private_key(ec.SECP521R1()), STRONG, True),
        (ec.generate_private_key(ec.SECP384R1()), P256_ONLY, False),
        (ec.generate_private_key(ec.SECP192R1()), STRONG, False),
        (ec.generate_private_key(ec.SECP256K1()), LEGACY, False),
        (ec.generate_private_key(ec.BrainpoolP256R1()), LEGACY, False),
        (ed25519.Ed25519PrivateKey.generate(), LEGACY, False),
    ],
    ids=range(9),
)
def test_a_key_counts_or_not(key: Key, strength: Strength, *, counts: bool) -> None:
    root = ca("Root")
    assert faults(strength, root, signer("Leaf", root, key=key)) == ([] if counts else [Hresult.NTE_BAD_ALGID])


@pytest.mark.parametrize(("strength", "counts"), [(STRONG, False), (LEGACY, True)], ids=["default", "legacy"])
def test_sha1_between_certificates_counts_only_where_admitted(strength: Strength, *, counts: bool) -> None:
    root = ca("Root")
    leaf = sha1_signed(signer("Leaf", root), root)
    assert faults(strength, root, leaf) == ([] if counts else [Hresult.NTE_BAD_ALGID])
    assert faults(strength, root, sha1_signed(signer("Leaf", root), ca("Root"))) != []
    between = sha1_signed(ca("Between", root), root)
    assert faults(strength, root, signer("Leaf", between), between) == ([] if counts else [Hresult.NTE_BAD_ALGID])


def test_how_the_root_signed_itself_says_nothing() -> None:
    plain = ca("Root")
    root = sha1_signed(plain, plain)
    assert faults(STRONG, root, signer("Leaf", root)) == []


def test_a_policy_that_is_stricter_leaves_the_default_for_chains() -> None:
    strict = Strength(frozenset({DigestAlgorithm.SHA384}), 4096, frozenset({"P-521"}))
    assert STRONG.with_all_of(strict) == STRONG
    assert STRONG.with_all_of(LEGACY) == LEGACY
