"""respond(): what a token holds, what is refused and why, and that no bytes make it fail."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from asn1crypto import tsp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import POLICY, respond

NOW = datetime(2026, 1, 31, 12, 30, 15, 999_999, tzinfo=UTC)


def query(algorithm: str = "sha256", *, drop: tuple[str, ...] = (), **changes: Any) -> bytes:
    digest = hashlib.new(algorithm, b"content").digest()
    fields: dict[str, Any] = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest},
        "nonce": 0x0123456789ABCDEF,
        "cert_req": True,
    }
    fields = {name: value for name, value in (fields | changes).items() if name not in drop}
    return bytes(tsp.TimeStampReq(fields).dump())


def granted(reply: bytes) -> Any:
    response = tsp.TimeStampResp.load(reply, strict=True)
    assert response["status"]["status"].native == "granted"
    assert response["time_stamp_token"]["content_type"].native == "signed_data"
    return response["time_stamp_token"]["content"]


def refusal(reply: bytes) -> set[str]:
    # PKIStatusInfo is the reply's only element: SEQUENCE { SEQUENCE { status, text, failInfo } }.
    status = tsp.PKIStatusInfo.load(reply[2:], strict=True)
    assert status["status"].native == "rejection"
    assert status["status_string"].native
    failure: set[str] = status["fail_info"].native
    return failure


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_token_states_what_was_asked(authority: EmbeddedAuthority, algorithm: str) -> None:
    signed = granted(respond(query(algorithm), authority, NOW))
    assert signed["version"].native == "v3"
    assert signed["encap_content_info"]["content_type"].native == "tst_info"
    info = signed["encap_content_info"]["content"].parsed.native
    assert info["message_imprint"]["hash_algorithm"]["algorithm"] == algorithm
    assert info["message_imprint"]["hashed_message"] == hashlib.new(algorithm, b"content").digest()
    assert info["nonce"] == 0x0123456789ABCDEF
    assert info["policy"] == POLICY
    assert info["gen_time"] == NOW.replace(microsecond=0)
    assert info["accuracy"]["seconds"] == 1
    assert info["tsa"]["common_name"] == "kspsign TEST SIGNING timestamp unit - do not trust"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("sha256", hashes.SHA256()), ("sha384", hashes.SHA384()), ("sha512", hashes.SHA512())],
)
def test_the_unit_signs_the_attributes_that_bind_the_info(
    authority: EmbeddedAuthority, algorithm: str, expected: hashes.HashAlgorithm
) -> None:
    signed = granted(respond(query(algorithm), authority, NOW))
    (signer,) = signed["signer_infos"]
    attributes = {item["type"].native: item["values"][0] for item in signer["signed_attrs"]}
    assert set(attributes) == {"content_type", "message_digest", "signing_time", "signing_certificate_v2"}
    content = bytes(signed["encap_content_info"]["content"])
    assert attributes["message_digest"].native == hashlib.new(algorithm, content).digest()
    unit = authority.timestamp.certificate
    identifier = attributes["signing_certificate_v2"]["certs"][0]
    assert identifier["cert_hash"].native == hashlib.sha256(unit.public_bytes(Encoding.DER)).digest()
    assert identifier["issuer_serial"]["serial_number"].native == unit.serial_number
    to_sign = signer["signed_attrs"].untag().dump()
    authority.timestamp.key.public_key().verify(signer["signature"].native, to_sign, PKCS1v15(), expected)


def test_certificates_come_only_when_asked_for(authority: EmbeddedAuthority) -> None:
    with_certificate = granted(respond(query(), authority, NOW))
    (sent,) = with_certificate["certificates"]
    assert sent.dump() == authority.timestamp.certificate.public_bytes(Encoding.DER)
    assert granted(respond(query(cert_req=False), authority, NOW))["certificates"].native is None


def test_a_request_without_nonce_gets_none_and_a_huge_one_comes_back(authority: EmbeddedAuthority) -> None:
    bare = granted(respond(query(drop=("nonce",)), authority, NOW))
    assert bare["encap_content_info"]["content"].parsed["nonce"].native is None
    huge = 1 << 4000
    answered = granted(respond(query(nonce=huge), authority, NOW))
    assert answered["encap_content_info"]["content"].parsed["nonce"].native == huge


def test_serial_numbers_are_long_and_never_the_same(authority: EmbeddedAuthority) -> None:
    replies = [granted(respond(query(), authority, NOW)) for _ in range(20)]
    serials = {reply["encap_content_info"]["content"].parsed["serial_number"].native for reply in replies}
    assert len(serials) == 20
    assert all(serial.bit_length() == 128 for serial in serials)


@pytest.mark.parametrize(
    ("request_bytes", "failure"),
    [
        (b"", "bad_data_format"),
        (b"hello", "bad_data_format"),
        (query() + b"\0", "bad_data_format"),
        (query()[:-1], "bad_data_format"),
        (query(version=2), "bad_request"),
        (query("sha1"), "bad_alg"),
        (query("md5"), "bad_alg"),
        (
            query(message_imprint={"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": b"\1" * 32}),
            "bad_data_format",
        ),
        (query(req_policy="1.2.3.4"), "unaccepted_policy"),
        (query(extensions=[{"extn_id": "1.2.3.4", "extn_value": b"\5\0"}]), "unaccepted_extensions"),
    ],
)
def test_what_can_not_be_stamped_is_refused_with_its_reason(
    authority: EmbeddedAuthority, request_bytes: bytes, failure: str
) -> None:
    assert refusal(respond(request_bytes, authority, NOW)) == {failure}


def test_the_own_policy_may_be_named(authority: EmbeddedAuthority) -> None:
    granted(respond(query(req_policy=POLICY), authority, NOW))


def test_no_damaged_request_makes_it_fail(authority: EmbeddedAuthority) -> None:
    chance = random.Random(3161)  # noqa: S311 - repeatable damage, no secret
    whole = query(req_policy="1.2.3.4", extensions=[{"extn_id": "1.2.3.4", "extn_value": b"\5\0"}])
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        reply = respond(bytes(damaged[: chance.randint(1, len(damaged))]), authority, NOW)
        assert reply[0] == 0x30
