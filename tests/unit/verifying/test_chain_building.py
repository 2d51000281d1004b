"""Finding a path: missing, forged, crossing, looping and look-alike certificates, and what each is called."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, ChainResult, parse_certificate, validate_chain
from kspsign.verifying.roots import TrustAnchors, combined
from support.pki import MOMENT, Issued, ca, new_key, sha1_signed, signer


def validated(leaf: Issued, candidates: Sequence[Issued], *roots: Issued) -> ChainResult:
    anchors = TrustAnchors.from_certificates(root.der for root in roots)
    return validate_chain(
        leaf.der, [issued.der for issued in candidates], anchors, CertificatePurpose.CODE_SIGNING, MOMENT
    )


def outcome(result: ChainResult) -> list[tuple[str, Hresult]]:
    return [(fault.check, fault.hresult) for fault in result.faults]


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root")


@pytest.fixture(scope="module")
def middle(root: Issued) -> Issued:
    return ca("Middle", root)


@pytest.fixture(scope="module")
def leaf(middle: Issued) -> Issued:
    return signer("Leaf", middle)


def test_a_whole_chain_in_any_order_is_trusted_up_to_the_root(root: Issued, middle: Issued, leaf: Issued) -> None:
    for candidates in ([leaf, middle], [middle, leaf], [root, middle, middle, leaf]):
        result = validated(leaf, candidates, root)
        assert result.faults == ()
        assert result.path == (leaf.certificate, middle.certificate, root.certificate)


def test_an_unknown_root_is_untrusted_and_named(root: Issued, middle: Issued, leaf: Issued) -> None:
    result = validated(leaf, [middle, root], ca("Other"))
    assert outcome(result) == [("certificate-chain", Hresult.CERT_E_UNTRUSTEDROOT)]
    assert '"Root"' in result.faults[0].detail
    assert result.path[-1] == root.certificate


def test_an_unknown_root_of_the_same_name_is_untrusted(root: Issued, middle: Issued, leaf: Issued) -> None:
    assert outcome(validated(leaf, [middle, root], ca("Root"))) == [("certificate-chain", Hresult.CERT_E_UNTRUSTEDROOT)]


def test_a_self_signed_leaf_is_untrusted_unless_it_is_given() -> None:
    leaf = signer("Alone")
    assert outcome(validated(leaf, [leaf], ca("Other"))) == [("certificate-chain", Hresult.CERT_E_UNTRUSTEDROOT)]
    assert validated(leaf, [leaf], leaf).faults == ()


def test_a_given_intermediate_is_a_root_too(middle: Issued, leaf: Issued) -> None:
    result = validated(leaf, [], middle)
    assert result.faults == ()
    assert result.path == (leaf.certificate, middle.certificate)


def test_a_missing_intermediate_breaks_the_chain(root: Issued, leaf: Issued) -> None:
    result = validated(leaf, [leaf, root], root)
    assert outcome(result) == [("certificate-chain", Hresult.CERT_E_CHAINING)]
    assert '"Middle"' in result.faults[0].detail


def test_a_forged_signature_is_wrong_though_its_issuer_is_there(root: Issued, middle: Issued) -> None:
    forged = signer("Leaf", middle, signing_key=new_key())
    assert outcome(validated(forged, [middle], root)) == [("certificate-chain", Hresult.TRUST_E_CERT_SIGNATURE)]
    forged_middle = ca("Middle", root, key=middle.key, signing_key=new_key())
    below = signer("Leaf", middle)
    assert outcome(validated(below, [forged_middle], root)) == [("certificate-chain", Hresult.TRUST_E_CERT_SIGNATURE)]
    assert validated(below, [forged_middle, middle], root).faults == ()


def test_a_sha1_signature_counts_only_on_the_root(root: Issued) -> None:
    old_root = sha1_signed(root, root)
    leaf = signer("Leaf", old_root)
    assert validated(leaf, [], old_root).faults == ()
    weak = sha1_signed(leaf, old_root)
    assert outcome(validated(weak, [], old_root)) == [("certificate-chain", Hresult.NTE_BAD_ALGID)]
    stranger = signer("Stranger")
    stranger = sha1_signed(stranger, stranger)
    assert outcome(validated(stranger, [], old_root)) == [("certificate-chain", Hresult.CERT_E_UNTRUSTEDROOT)]


def test_cross_certificates_lead_to_either_root(middle: Issued, leaf: Issued, root: Issued) -> None:
    other = ca("Other root")
    cross = ca("Root", other, key=root.key)
    assert validated(leaf, [cross, middle], other).path[-1] == other.certificate
    assert validated(leaf, [cross, middle], root).path[-1] == root.certificate
    both = validated(leaf, [cross, middle], root, other)
    assert both.faults == ()
    assert len(both.path) == 3
    assert outcome(validated(leaf, [cross, middle, root], ca("Third"))) == [
        ("certificate-chain", Hresult.CERT_E_UNTRUSTEDROOT)
    ]


def test_a_root_that_changed_its_key_vouches_for_the_new_one() -> None:
    old = ca("Root")
    renewed = ca("Root", old)
    leaf = signer("Leaf", renewed)
    result = validated(leaf, [renewed], old)
    assert result.faults == ()
    assert result.path == (leaf.certificate, renewed.certificate, old.certificate)


def test_certificates_that_issue_each_other_end_the_search() -> None:
    key, other_key = new_key(), new_key()
    first, second = ca("First", key=key), ca("Second", key=other_key)
    loop = [ca("First", second, key=key), ca("Second", first, key=other_key)]
    leaf = signer("Leaf", first)
    assert outcome(validated(leaf, loop, ca("Root"))) == [("certificate-chain", Hresult.CERT_E_CHAINING)]
    assert validated(leaf, loop, second).faults == ()


@pytest.mark.parametrize(("intermediates", "trusted"), [(8, True), (9, False)])
def test_a_chain_has_at_most_ten_certificates(intermediates: int, *, trusted: bool) -> None:
    root = ca("Root")
    line = [root]
    for number in range(intermediates):
        line.append(ca(f"CA {number}", line[-1]))
    result = validated(signer("Leaf", line[-1]), line[1:], root)
    assert outcome(result) == ([] if trusted else [("certificate-chain", Hresult.CERT_E_CHAINING)])


def test_the_key_identifier_finds_the_issuer_among_hundreds_of_look_alikes(root: Issued, middle: Issued) -> None:
    look_alikes = [ca("Middle", root) for _ in range(300)]
    assert validated(signer("Leaf", middle), [*look_alikes, middle], root).faults == ()


def test_the_search_for_an_issuer_that_nothing_tells_apart_is_given_up(root: Issued, middle: Issued) -> None:
    leaf = signer("Leaf", middle, identifiers=False)
    look_alikes = [ca("Middle", root) for _ in range(300)]
    assert validated(leaf, [*look_alikes[:40], middle], root).faults == ()
    result = validated(leaf, [*look_alikes, middle], root)
    assert outcome(result) == [("certificate-chain", Hresult.CERT_E_CHAINING)]
    assert "given up" in result.faults[0].detail


def test_look_alikes_with_the_issuers_own_key_end_the_search_too(root: Issued, middle: Issued) -> None:
    families = [ca(f"CA {number}") for number in range(6)]
    tangle = [ca(f"CA {number}", other, key=one.key)
              for number, one in enumerate(families) for other in families for _ in range(8)]  # fmt: skip
    result = validated(signer("Leaf", families[0]), tangle, root)
    assert result.faults[0].hresult in (Hresult.CERT_E_UNTRUSTEDROOT, Hresult.CERT_E_CHAINING)
    assert validated(signer("Leaf", middle), [*tangle, middle], root).faults == ()


@pytest.mark.parametrize("damage", ["", "3000", "308200", "30", "00" * 40, "30820fff3000"])
def test_bytes_that_are_no_certificate_are_malformed(damage: str, root: Issued) -> None:
    anchors = TrustAnchors.from_certificates([root.der])
    result = validate_chain(bytes.fromhex(damage), [], anchors, CertificatePurpose.CODE_SIGNING, MOMENT)
    assert outcome(result) == [("certificate-chain", Hresult.TRUST_E_MALFORMED_SIGNATURE)]
    assert result.path == ()
    with pytest.raises(TrustError) as caught:
        parse_certificate(bytes.fromhex(damage))
    assert caught.value.hresult is Hresult.TRUST_E_MALFORMED_SIGNATURE


def test_every_damaged_byte_of_a_leaf_is_refused_without_another_error(root: Issued) -> None:
    leaf = signer("Leaf", root)
    anchors = TrustAnchors.from_certificates([root.der])
    for position in range(len(leaf.der)):
        damaged = leaf.der[:position] + bytes([leaf.der[position] ^ 0x41]) + leaf.der[position + 1 :]
        assert validate_chain(damaged, [], anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults
    assert validate_chain(leaf.der + b"\0", [], anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults
    assert not validate_chain(leaf.der, [], anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults


def test_rubbish_among_the_candidates_does_no_harm(root: Issued, middle: Issued, leaf: Issued) -> None:
    anchors = TrustAnchors.from_certificates([root.der])
    cut = middle.der.replace(b"\x06\x03U\x1d\x13", b"\x06\x03U\x1d\x0e")  # two subject key identifiers
    candidates = [b"", b"rubbish", cut, middle.der]
    assert validate_chain(leaf.der, candidates, anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults == ()
    assert validate_chain(leaf.der, candidates[:-1], anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults


def test_combined_anchors_trust_what_either_trusts(root: Issued, middle: Issued, leaf: Issued) -> None:
    other = ca("Other")
    both = combined(TrustAnchors.from_certificates([other.der]), TrustAnchors.from_certificates([root.der]))
    for subject, candidates in ((leaf, [middle.der]), (signer("Theirs", other), [])):
        assert validate_chain(subject.der, candidates, both, CertificatePurpose.CODE_SIGNING, MOMENT).faults == ()
