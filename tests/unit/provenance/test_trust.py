"""A bundle is judged as the signature of a file is: who signed it, when, and what comes with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509 import ObjectIdentifier

from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.provenance.bundle import SignedStatement, bundle_text
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.provenance import verify_provenance
from kspsign.verifying.verifier import Verifier
from support.certificates import rsa_key
from support.pki import CODE_SIGNING, TIMESTAMPING, Issued, Key, ca, extended, issue, key_usage, signer
from support.provenance.forging import FILE, STAMPED, Forge, base64_text, statement, timestamp_unit

DAY = timedelta(days=1)
LIFETIME = ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")
ANY_USAGE = ObjectIdentifier("2.5.29.37.0")
SIGNS = key_usage("digital_signature")
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


@pytest.fixture(scope="module")
def forge() -> Forge:
    root = ca("Root")
    between = ca("Between", root)
    return Forge(root, signer("Publisher", between), timestamp_unit(root), (between,))


def fault(forge: Forge, bundle: bytes, trust: Trust | None = None) -> str | None:
    """Why the bundle does not hold, None when it does; the file is named in any case."""
    try:
        verified = verify_provenance(bundle, "p.json", Verifier(trust or forge.trust))
    except TrustError as error:
        refused = error
    else:
        assert verified.digests == {FILE}
        return None
    assert str(refused).startswith("p.json: the provenance does not hold: ")
    assert refused.remedy
    return f"{refused.code} {refused.message}"


def without_timestamp(forge: Forge) -> Trust:
    return forge.trust._replace(timestamp_required=False)


def test_it_holds_with_its_chain_and_its_timestamp(forge: Forge) -> None:
    assert fault(forge, forge.bundle()) is None
    assert fault(forge, replace(forge, chain=(*forge.chain, forge.root)).bundle()) is None
    assert fault(forge, forge.bundle(moment=None), without_timestamp(forge)) is None


def test_without_timestamp_it_is_refused_where_one_is_demanded(forge: Forge) -> None:
    assert "no timestamp" in str(fault(forge, forge.bundle(moment=None)))


@pytest.mark.parametrize(
    ("usages", "usage"),
    [
        ((), SIGNS),
        ((ObjectIdentifier("1.3.6.1.5.5.7.3.1"),), SIGNS),
        ((TIMESTAMPING,), SIGNS),
        ((ANY_USAGE,), SIGNS),
        ((CODE_SIGNING,), key_usage("key_encipherment")),
    ],
)
@pytest.mark.parametrize("stamped", [True, False])
def test_its_certificate_is_for_code_signing(
    usages: tuple[ObjectIdentifier, ...], usage: object, forge: Forge, *, stamped: bool
) -> None:
    extensions = [usage, *([extended(*usages)] if usages else [])]
    leaf = issue("Publisher", forge.chain[0], extensions=extensions)  # type: ignore[arg-type]
    bundle = replace(forge, leaf=leaf).bundle(moment=STAMPED if stamped else None)
    assert str(fault(forge, bundle, without_timestamp(forge))).startswith("CERT_E_WRONG_USAGE")


def test_a_timestamp_alone_keeps_an_expired_certificate_valid(forge: Forge) -> None:
    now = datetime.now(UTC)
    expired = replace(forge, leaf=signer("Publisher", forge.chain[0], end=now - 2 * DAY))
    assert fault(forge, expired.bundle(moment=now - 3 * DAY)) is None
    assert "CERT_E_EXPIRED" in str(fault(forge, expired.bundle(moment=now - DAY)))
    assert "CERT_E_EXPIRED" in str(fault(forge, expired.bundle(moment=None), without_timestamp(forge)))


def test_a_timestamp_from_before_the_certificate_is_refused(forge: Forge) -> None:
    now = datetime.now(UTC)
    young = replace(forge, leaf=signer("Publisher", forge.chain[0], begin=now - 2 * DAY))
    assert fault(forge, young.bundle(moment=now - DAY)) is None
    assert "CERT_E_EXPIRED" in str(fault(forge, young.bundle(moment=now - 3 * DAY)))


def test_no_timestamp_extends_lifetime_signing(forge: Forge) -> None:
    """As with files: what such a certificate signed ends with it."""
    now = datetime.now(UTC)
    usages = [extended(CODE_SIGNING, LIFETIME), SIGNS]
    valid = issue("Publisher", forge.chain[0], extensions=usages)
    ended = issue("Publisher", forge.chain[0], extensions=usages, end=now - 2 * DAY)
    assert fault(forge, replace(forge, leaf=valid).bundle(moment=now - 3 * DAY)) is None
    assert "CERT_E_EXPIRED" in str(fault(forge, replace(forge, leaf=ended).bundle(moment=now - 3 * DAY)))


def _units(forge: Forge) -> dict[str, Issued]:
    now = datetime.now(UTC)
    return {
        "untrusted": timestamp_unit(ca("Another root")),
        "of a root of the same name": timestamp_unit(ca("Root")),
        "for code signing": timestamp_unit(forge.root, (CODE_SIGNING,)),
        "for both": timestamp_unit(forge.root, (TIMESTAMPING, CODE_SIGNING)),
        "the publisher itself": forge.leaf,
        "expired": timestamp_unit(forge.root, end=now - DAY),
        "not yet valid": timestamp_unit(forge.root, begin=now + DAY),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("untrusted", "of a root of the same name", "for code signing", "for both", "the publisher itself"),
        *("expired", "not yet valid"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_timestamp_of_a_wrong_authority_is_refused(name: str, forge: Forge, *, required: bool) -> None:
    """Also where none is demanded: one that does not hold is not the same as none."""
    bundle = replace(forge, unit=_units(forge)[name]).bundle()
    trust = forge.trust if required else without_timestamp(forge)
    assert "timestamp-" in str(fault(forge, bundle, trust))


def test_a_timestamp_of_another_signature_is_refused(forge: Forge) -> None:
    signed, other = (forge.signed(json.dumps(statement(ref)).encode()) for ref in ("refs/heads/main", "refs/heads/x"))
    assert "another signature" in str(fault(forge, bundle_text(signed._replace(token=other.token)).encode()))
    assert "another signature" in str(fault(forge, forge.bundle(stamped=signed.payload)))


def test_a_timestamp_of_the_future_is_refused(forge: Forge) -> None:
    assert "future" in str(fault(forge, forge.bundle(moment=datetime.now(UTC) + timedelta(hours=1))))


def _answered(signed: SignedStatement, answer: bytes) -> bytes:
    bundle = json.loads(bundle_text(signed))
    (stamp,) = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamp["signedTimestamp"] = base64_text(answer)
    return json.dumps(bundle).encode()


def test_the_answer_of_the_timestamp_server_is_a_granted_token_alone(forge: Forge) -> None:
    signed = forge.signed(json.dumps(statement()).encode())
    token = signed.token or b""
    granted = der.sequence(der.integer(0))
    assert fault(forge, _answered(signed, der.sequence(granted, token))) is None
    for answer in (
        token,
        der.sequence(granted),
        der.sequence(granted, token, der.integer(1)),
        der.sequence(granted, token) + b"\0",
        der.sequence(der.sequence(der.integer(2)), token),
        der.sequence(der.sequence(der.integer(0), der.sequence(der.element(0x0C, b"read me"))), token),
    ):
        assert "its timestamp" in str(fault(forge, _answered(signed, answer)))


def test_a_certificate_that_its_chain_does_not_need_is_refused(forge: Forge) -> None:
    """The chain is not signed: anyone could hide data in it."""
    signed = forge.signed(json.dumps(statement()).encode())
    for more in (ca("Stranger").der, signer("Publisher", forge.chain[0]).der):
        assert "embedded-certificates" in str(
            fault(forge, bundle_text(signed._replace(chain=(*signed.chain, more))).encode())
        )
    for damaged in (b"no certificate", signed.chain[1] + b"\0"):
        changed = signed._replace(chain=(*signed.chain, damaged))
        assert "certificate" in str(fault(forge, bundle_text(changed).encode()))


def test_the_signature_is_of_the_first_certificates_key(forge: Forge) -> None:
    """Another certificate of the same publisher is another key."""
    signed = forge.signed(json.dumps(statement()).encode())
    other = signer("Publisher", forge.chain[0])
    assert fault(forge, replace(forge, leaf=other).bundle()) is None
    exchanged = signed._replace(chain=(other.der, *signed.chain[1:]))
    assert "TRUST_E_BAD_DIGEST" in str(fault(forge, bundle_text(exchanged).encode()))
    backwards = signed._replace(chain=signed.chain[::-1])
    assert fault(forge, bundle_text(backwards).encode()) is not None


def test_another_form_of_the_same_signature_is_refused(forge: Forge) -> None:
    """The timestamp is of its bytes."""
    signed = forge.signed(json.dumps(statement()).encode())
    first, second = decode_dss_signature(signed.signature)
    for form in (encode_dss_signature(first, ORDER - second), signed.signature + b"\0"):
        assert "another signature" in str(fault(forge, bundle_text(signed._replace(signature=form)).encode()))


@pytest.mark.parametrize("kind", ["secp256k1", "P-224", "RSA 1024", "Ed25519"])
def test_a_key_that_is_not_strong_enough_is_refused(kind: str, forge: Forge) -> None:
    keys: dict[str, Callable[[], Key]] = {
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
        "RSA 1024": lambda: rsa_key(1024),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    leaf = signer("Publisher", forge.chain[0], key=keys[kind]())
    signed = forge.signed(json.dumps(statement()).encode())
    bundle = bundle_text(signed._replace(chain=(leaf.der, *signed.chain[1:]))).encode()
    assert str(fault(forge, bundle)).startswith("NTE_BAD_ALGID")
