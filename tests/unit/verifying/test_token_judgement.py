"""A token is judged before it is embedded, and as strictly as what is signed: its chain, its algorithms, its words."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from kspsign.authenticode.cms.oids import OID_SIGNING_CERTIFICATE, OID_SIGNING_CERTIFICATE_V2
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import LEGACY, STRONG, Strength
from kspsign.verifying.timestamps import judge_token
from kspsign.verifying.verifier import Verifier
from support.pki import CODE_SIGNING, MOMENT, TIMESTAMPING, Extension, Issued, ca, extended, issue, key_usage, name
from support.tokens import (
    certificate_id,
    directory_name,
    issuer_serial,
    make_token,
    message_imprint,
    token_extension,
)

VALUE = b"a signature value"
SHA1 = DigestAlgorithm.SHA1


def trust_in(*roots: Issued, strength: Strength = STRONG) -> Trust:
    anchors = TrustAnchors.from_certificates(issued.der for issued in roots)
    return Trust(anchors, anchors, timestamp_required=True, strength=strength)


def unit(issuer: Issued, *extensions: Extension) -> Issued:
    usages = extensions or (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    return issue("Authority", issuer, extensions=usages)


def fault(token: bytes, trust: Trust, value: bytes = VALUE) -> str | None:
    """The first check that fails, and that the verifier says the same; None when the token holds."""
    failed = [finding.check for finding in judge_token(token, value, trust).findings if finding.hresult is not None]
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


def test_below_a_root_that_the_user_named_its_usage_is_critical() -> None:
    """Microsoft's own authorities of before 2021 are not so (test_chain_vendors.py)."""
    root = ca("Root")
    usages = (extended(TIMESTAMPING), key_usage("digital_signature"))
    assert fault(make_token(unit(root, *usages), VALUE, MOMENT), trust_in(root)) == "timestamp-extended-key-usage"


@pytest.mark.parametrize("critical", [False, True], ids=["plain", "critical"])
@pytest.mark.parametrize("oid", ["2.999.7", "1.3.6.1.5.5.7.1.3"], ids=["unknown", "qcStatements"])
def test_an_extension_of_the_token_may_not_be_critical(oid: str, *, critical: bool) -> None:
    root = ca("Root")
    extensions = [token_extension("2.999.6", critical=False), token_extension(oid, critical=critical)]
    token = make_token(unit(root), VALUE, MOMENT, extensions=extensions)
    assert fault(token, trust_in(root)) == ("timestamp" if critical else None)


def test_the_authority_that_it_names_is_the_one_that_signed() -> None:
    root = ca("Root")
    own = unit(root)
    alternative = x509.SubjectAlternativeName([x509.DNSName("stamp.example"), x509.DirectoryName(name("Also"))])
    named = issue("Authority", root, extensions=[extended(TIMESTAMPING, critical=True), (alternative, False)])
    dns, also = (directory_name(name("Also").public_bytes()), der.element(0x82, b"stamp.example"))
    shouted = own_name("AUTHORITY ", 0x13)
    for authority, tsa, expected in (
        (own, directory_name(own.certificate.subject.public_bytes()), None),
        (own, directory_name(shouted), None),
        (own, directory_name(name("Somebody else").public_bytes()), "timestamp-signature"),
        (own, directory_name(name("Authority", "Contoso").public_bytes()), "timestamp-signature"),
        (own, also, "timestamp-signature"),
        (named, also, None),
        (named, dns, None),
        (named, der.element(0x82, b"other.example"), "timestamp-signature"),
        (own, directory_name(b""), "timestamp"),
    ):
        assert fault(make_token(authority, VALUE, MOMENT, tsa=tsa), trust_in(root)) == expected


def own_name(common_name: str, tag: int) -> bytes:
    """A Name with a common name in that string type."""
    pair = der.sequence(der.oid("2.5.4.3"), der.element(tag, common_name.encode("ascii")))
    return der.sequence(der.set_of(pair))


def test_both_signing_certificate_attributes_name_the_authoritys_certificate() -> None:
    root = ca("Root")
    own, other = unit(root), unit(root)
    v2 = certificate_id(hashlib.sha256(own.der).digest())

    def attributes(named: Issued) -> dict[str, bytes]:
        return {OID_SIGNING_CERTIFICATE: certificate_id(hashlib.sha1(named.der, usedforsecurity=False).digest())}

    def judged(identifiers: dict[str, bytes]) -> str | None:
        return fault(make_token(own, VALUE, MOMENT, identifiers=identifiers), trust_in(root))

    assert judged(attributes(own)) is None
    assert judged({**attributes(own), OID_SIGNING_CERTIFICATE_V2: v2}) is None
    assert judged({**attributes(other), OID_SIGNING_CERTIFICATE_V2: v2}) == "timestamp-signature"
    assert judged({}) == "timestamp-signature"


def test_an_issuer_and_serial_number_that_it_states_are_the_authoritys() -> None:
    root = ca("Root")
    own, other = unit(root), unit(root)
    digest = hashlib.sha256(own.der).digest()
    for stated, expected in ((own, None), (other, "timestamp-signature")):
        identifiers = {OID_SIGNING_CERTIFICATE_V2: certificate_id(digest, issuer_serial(stated.der))}
        assert fault(make_token(own, VALUE, MOMENT, identifiers=identifiers), trust_in(root)) == expected


@pytest.mark.parametrize("kind", ["1.2.840.113549.2.5", "2.16.840.1.101.3.4.2.4", "2.16.840.1.101.3.4.2.8"])
def test_an_imprint_by_an_algorithm_that_is_not_supported_is_named_as_that(kind: str) -> None:
    """MD5, SHA-224 and SHA3-256 of the right value: not "another signature", which would send people astray."""
    algorithm = {"1.2.840.113549.2.5": "md5", "2.16.840.1.101.3.4.2.4": "sha224"}.get(kind, "sha3_256")
    stamped = der.sequence(
        der.sequence(der.oid(kind)), der.octet_string(hashlib.new(algorithm, VALUE, usedforsecurity=False).digest())
    )
    root = ca("Root")
    token = make_token(unit(root), VALUE, MOMENT, stamped=stamped)
    with pytest.raises(TrustError, match="digest algorithm that is not supported"):
        Verifier(trust_in(root)).check_token(token, VALUE)
    good = make_token(unit(root), VALUE, MOMENT, stamped=message_imprint(DigestAlgorithm.SHA512, VALUE))
    assert fault(good, trust_in(root)) is None
