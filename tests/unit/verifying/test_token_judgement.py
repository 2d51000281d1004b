"""A token is judged before it is embedded, and as strictly as what is signed: its chain, its algorithms, its words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import LEGACY, STRONG, Strength
from kspsign.verifying.timestamps import judge_token
from kspsign.verifying.verifier import Verifier
from support.pki import CODE_SIGNING, MOMENT, TIMESTAMPING, Extension, Issued, ca, extended, issue, key_usage
from support.tokens import make_token

VALUE = b"a signature value"
SHA1 = DigestAlgorithm.SHA1


def trust_in(*roots: Issued, strength: Strength = STRONG) -> Trust:
    anchors = TrustAnchors.from_certificates(each.der for each in roots)
    return Trust(anchors, anchors, timestamp_required=True, strength=strength)


def unit(issuer: Issued, *extensions: Extension) -> Issued:
    usages = extensions or (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    return issue("Authority", issuer, extensions=usages)


def fault(token: bytes, trust: Trust, value: bytes = VALUE) -> str | None:
    """The first check that fails, and that the verifier says the same; None when the token holds."""
    failed = [each.check for each in judge_token(token, value, trust).findings if each.hresult is not None]
    if not failed:
        Verifier(trust).check_token(token, value)
        return None
    with pytest.raises(TrustError) as refused:
        Verifier(trust).check_token(token, value)
    assert refused.value.check == failed[0]
    return failed[0]


def test_a_token_holds_under_the_root_that_is_trusted_only() -> None:
    root = ca("Root")
    token = make_token(unit(root), VALUE, MOMENT)
    assert fault(token, trust_in(root)) is None
    assert fault(token, trust_in(ca("Root"))) == "timestamp-certificate-chain"
    assert fault(token, trust_in(root), b"another") == "timestamp-imprint"
    assert fault(b"\x30\x00", trust_in(root)) == "timestamp"


def test_intermediates_belong_into_the_token_and_nothing_else_does() -> None:
    root = ca("Root")
    between = ca("Between", root)
    complete = make_token(unit(between), VALUE, MOMENT, chain=[between])
    assert fault(complete, trust_in(root)) is None
    assert fault(make_token(unit(between), VALUE, MOMENT), trust_in(root)) == "timestamp-certificate-chain"
    crowded = make_token(unit(between), VALUE, MOMENT, chain=[between, ca("Stranger")])
    assert fault(crowded, trust_in(root)) == "embedded-certificates"


def test_its_time_is_past_and_within_the_validity_of_its_certificate() -> None:
    root = ca("Root")
    late = datetime.now(UTC) + timedelta(hours=1)
    assert fault(make_token(unit(root), VALUE, late), trust_in(root)) == "timestamp-time"
    early = make_token(unit(root), VALUE, datetime(2019, 12, 31, tzinfo=UTC))
    assert fault(early, trust_in(root)) == "timestamp-certificate-validity"


@pytest.mark.parametrize("sides", [{"signed_over": SHA1}, {"imprint": SHA1}], ids=["token", "imprint"])
def test_sha1_in_the_token_or_in_its_imprint_is_weak(sides: dict[str, DigestAlgorithm]) -> None:
    root = ca("Root")
    token = make_token(unit(root), VALUE, MOMENT, **sides)  # type: ignore[arg-type]
    assert fault(token, trust_in(root)) == "timestamp-algorithms"
    assert fault(token, trust_in(root, strength=LEGACY)) is None


def test_its_certificate_is_for_timestamping_alone() -> None:
    root = ca("Root")
    usage = key_usage("digital_signature")
    for wrong in (
        (extended(CODE_SIGNING), usage),
        (extended(TIMESTAMPING, CODE_SIGNING, critical=True), usage),
        (usage,),
    ):
        token = make_token(unit(root, *wrong), VALUE, MOMENT)
        assert fault(token, trust_in(root)) == "timestamp-extended-key-usage"
    encipher = (extended(TIMESTAMPING, critical=True), key_usage("key_encipherment"))
    assert fault(make_token(unit(root, *encipher), VALUE, MOMENT), trust_in(root)) == "timestamp-key-usage"
