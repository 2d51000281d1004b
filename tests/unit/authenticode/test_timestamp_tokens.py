"""What makes a timestamp hold: RFC 3161 tokens and the older counter-signatures, right and wrong in one thing each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from asn1crypto import cms, core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.timestamp import check_reply, make_query, read_counter_signature, read_token
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from support.formats import cms_schema

SIGNATURE = b"a signature value"
MOMENT = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
SHA256 = DigestAlgorithm.SHA256


@pytest.fixture(scope="module")
def token(authority: EmbeddedAuthority) -> bytes:
    """A token over SIGNATURE."""
    query = make_query(SIGNATURE, SHA256)
    return check_reply(respond(query.der, authority, MOMENT), query, SIGNATURE)[0]


def fault(token: bytes, signature: bytes = SIGNATURE) -> str | None:
    """Why the token does not hold, None when it does."""
    try:
        stamp = read_token(token, signature)
    except TrustError as refused:
        return refused.message
    return next((finding.detail for finding in stamp.findings if finding.hresult), None)


def changed(token: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """The token after `change(signed data, signer info)`."""
    info = cms_schema.ContentInfo.load(token)
    change(info["content"], info["content"]["signer_infos"][0])
    return bytes(info.dump(force=True))


def test_it_states_time_authority_and_digest(token: bytes, authority: EmbeddedAuthority) -> None:
    stamp = read_token(token, SIGNATURE)
    assert fault(token) is None
    assert (stamp.time, stamp.digest_algorithm) == (MOMENT, SHA256)
    assert stamp.signer == authority.timestamp.certificate.public_bytes(Encoding.DER)


def test_over_another_signature_it_does_not_hold(token: bytes) -> None:
    assert fault(token, b"another") == "the token is for another signature"


def as_pkcs7(signed: Any, _signer: Any) -> None:
    signed["version"] = 1


def other_digests(signed: Any, _signer: Any) -> None:
    signed["digest_algorithms"] = [{"algorithm": "sha512"}]


def other_signer(_signed: Any, signer: Any) -> None:
    signer["sid"].chosen["serial_number"] = 4711


def no_certificates(signed: Any, _signer: Any) -> None:
    signed["certificates"] = []


def other_scheme(_signed: Any, signer: Any) -> None:
    signer["signature_algorithm"] = {"algorithm": "sha512_rsa"}


def other_value(_signed: Any, signer: Any) -> None:
    signer["signature"] = bytes(384)


def other_type(signed: Any, _signer: Any) -> None:
    signed["encap_content_info"]["content_type"] = oids.OID_SPC_INDIRECT_DATA


@pytest.mark.parametrize(
    "change", [as_pkcs7, other_digests, other_signer, no_certificates, other_scheme, other_value, other_type]
)
def test_a_token_that_deviates_does_not_hold(token: bytes, change: Callable[[Any, Any], None]) -> None:
    assert fault(changed(token, change)) is not None


def test_the_signing_certificate_must_be_the_one_that_is_named(token: bytes) -> None:
    """Without the signingCertificate attribute a token could be given to another certificate of the same key."""

    def without_name(_signed: Any, signer: Any) -> None:
        kept = [
            attribute
            for attribute in signer["signed_attrs"]
            if attribute["type"].dotted != oids.OID_SIGNING_CERTIFICATE_V2
        ]
        signer["signed_attrs"] = cms_schema.Attributes(kept)

    assert fault(changed(token, without_name)) is not None


@pytest.mark.parametrize("algorithm", [DigestAlgorithm.SHA384, DigestAlgorithm.SHA512])
def test_stronger_digests(authority: EmbeddedAuthority, algorithm: DigestAlgorithm) -> None:
    query = make_query(SIGNATURE, algorithm)
    _token, stamp = check_reply(respond(query.der, authority, MOMENT), query, SIGNATURE)
    assert (stamp.digest_algorithm, stamp.nonce) == (algorithm, query.nonce)


def test_queries_never_repeat_a_nonce() -> None:
    assert len({make_query(SIGNATURE, SHA256).nonce for _ in range(1000)}) == 1000


@pytest.mark.parametrize("reply", [b"", b"\x30\x00", b"\x30\x05\x30\x03\x02\x01\x00", b"<html>", b"\x30\x80" * 4000])
def test_a_reply_that_is_none_is_refused(reply: bytes) -> None:
    with pytest.raises(TrustError):
        check_reply(reply, make_query(SIGNATURE, SHA256), SIGNATURE)


def counter_signature(authority: EmbeddedAuthority, covered: bytes, digest: str = "sha256") -> bytes:
    """A PKCS#9 counter-signature by the authority's timestamp unit."""
    certificate = cms.Certificate.load(authority.timestamp.certificate.public_bytes(Encoding.DER))
    values = {
        "content_type": "data",
        "signing_time": cms.Time({"utc_time": MOMENT}),
        "message_digest": hashlib.new(digest, covered).digest(),
    }
    attributes = cms.CMSAttributes(
        [cms.CMSAttribute({"type": kind, "values": [value]}) for kind, value in values.items()]
    )
    sid = cms.IssuerAndSerialNumber({"issuer": certificate.issuer, "serial_number": certificate.serial_number})
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": sid,
            "digest_algorithm": {"algorithm": digest},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": authority.timestamp.key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256()),
        }
    )
    return bytes(signer.dump())


def test_a_counter_signature_holds_over_what_it_covers_only(authority: EmbeddedAuthority) -> None:
    certificates = (authority.timestamp.certificate.public_bytes(Encoding.DER),)
    der = counter_signature(authority, SIGNATURE)
    good = read_counter_signature(der, SIGNATURE, certificates)
    assert [finding.hresult for finding in good.findings] == [None, None, None]
    assert good.time == MOMENT
    other = read_counter_signature(der, b"another", certificates)
    assert [finding.check for finding in other.findings if finding.hresult] == ["timestamp-imprint"]
    alone = read_counter_signature(der, SIGNATURE, ())
    assert [finding.check for finding in alone.findings if finding.hresult] == ["timestamp-signature"]


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_counter_signature_may_sign_the_bare_digest_of_sha1(authority: EmbeddedAuthority, digest: str) -> None:
    """As VeriSign's and Symantec's servers did: the digest alone, in the padding of PKCS#1 v1.5."""
    certificates = (authority.timestamp.certificate.public_bytes(Encoding.DER),)
    info = cms_schema.SignerInfo.load(counter_signature(authority, SIGNATURE, digest))
    covered = hashlib.new(digest, info["signed_attrs"].untag().dump()).digest()
    for value, holds in ((bare(authority, covered), digest == "sha1"), (bare(authority, bytes(len(covered))), False)):
        info["signature"] = value
        stamp = read_counter_signature(bytes(info.dump(force=True)), SIGNATURE, certificates)
        judged = {finding.check: finding.hresult is None for finding in stamp.findings}
        assert judged["timestamp-signature"] is holds
        assert stamp.signer_digest_algorithm is DigestAlgorithm(digest)


def bare(authority: EmbeddedAuthority, digest: bytes) -> bytes:
    """A signature value of the timestamp unit over `digest` without a DigestInfo."""
    numbers = authority.timestamp.key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
    return pow(int.from_bytes(padded), numbers.d, modulus).to_bytes(size)


def test_a_counter_signature_without_a_time_can_not_be_read(authority: EmbeddedAuthority) -> None:
    info = cms_schema.SignerInfo.load(counter_signature(authority, SIGNATURE))
    info["signed_attrs"] = cms_schema.Attributes(
        [attribute for attribute in info["signed_attrs"] if attribute["type"].dotted != oids.OID_SIGNING_TIME]
    )
    with pytest.raises(TrustError):
        read_counter_signature(bytes(info.dump(force=True)), SIGNATURE, ())


def test_a_counter_signature_that_is_none_can_not_be_read() -> None:
    with pytest.raises(TrustError):
        read_counter_signature(core.Null().dump(), SIGNATURE, ())
