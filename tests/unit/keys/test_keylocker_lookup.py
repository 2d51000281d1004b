"""Which certificate the KeyLocker key store takes, and what it says when there is none to take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.batch.cautions import certificate_warnings
from kspsign.certsync import synchronise
from kspsign.keys.open import open_key_store, reopen_key_store
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.report import RunWarning
from kspsign.settings.model import Settings
from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.digicert_one.world import DAY, NOW, Account, Certificate
from support.keylocker import settings, settings_of
from support.pki import ca, signer


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        yield host


def taken(settings: Settings) -> bytes:
    store = open_key_store(settings)
    store.close()
    return store.certificate_chain()[0]


def refused(settings: Settings) -> PrerequisiteError:
    with pytest.raises(PrerequisiteError) as caught:
        open_key_store(settings)
    return caught.value


def kept(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"store": folder / "store"})


def add(host: Host, name: str) -> Certificate:
    return host.world.add_certificate(host.world.add_keypair(name), f"{name}-certificate")


def test_it_is_found_by_each_alias_and_id(host: Host) -> None:
    add(host, "other")
    wanted = add(host, "release")
    for name in ("release", "release-certificate", wanted.id, wanted.keypair.id, wanted.id.upper()):
        assert taken(settings(host, name)) == wanted.leaf.der, name


def test_an_alias_may_look_like_an_id(host: Host) -> None:
    for name in ("cafe", "0000-1111", "6b1f0c1e-9a43-4f6b-8a55-3f2d2c6a7e10"):
        wanted = add(host, name)
        assert taken(settings(host, name)) == wanted.leaf.der


def test_it_is_found_by_thumbprint(host: Host) -> None:
    add(host, "other")
    wanted = add(host, "release")
    thumbprint = hashlib.sha1(wanted.leaf.der, usedforsecurity=False).hexdigest()
    by_thumbprint = settings_of(host, thumbprint=thumbprint.upper())
    assert taken(by_thumbprint) == wanted.leaf.der


def test_something_must_be_named(host: Host) -> None:
    with pytest.raises(ConfigurationError, match="needs the key pair's alias"):
        open_key_store(settings(host, None))


def test_it_is_found_on_any_page_of_a_long_list(host: Host) -> None:
    pair = host.world.add_keypair("crowded")
    some = host.world.add_certificate(pair, "old")
    host.world.certificates += [Certificate(f"old {number}", some.leaf, (), pair) for number in range(220)]
    wanted = add(host, "release")
    assert taken(settings(host, "release")) == wanted.leaf.der
    assert taken(settings(host, wanted.id)) == wanted.leaf.der


def test_the_newest_valid_of_several_is_taken_and_said(host: Host) -> None:
    pair = host.world.add_keypair("release")
    host.world.add_certificate(pair, "2023", begin=NOW - 900 * DAY, end=NOW - 10 * DAY)
    host.world.add_certificate(pair, "2024", begin=NOW - 400 * DAY)
    newest = host.world.add_certificate(pair, "2025", begin=NOW - 20 * DAY, end=NOW + 100 * DAY)
    host.world.add_certificate(pair, "withdrawn", begin=NOW - 10 * DAY).status = "REVOKED"
    host.world.add_certificate(pair, "tomorrow", begin=NOW + DAY)
    remarks: list[str | RunWarning] = []
    store = open_key_store(settings(host, "release"), notice=remarks.append)
    store.close()
    assert store.certificate_chain()[0] == newest.leaf.der
    (remark,) = remarks
    assert isinstance(remark, str)
    assert remark.startswith("key pair release has 5 certificates: 2025 (")
    for other in ("2023 (", "expired", "2024 (", "withdrawn (", "revoked", "tomorrow (", "not yet valid"):
        assert other in remark.partition(" is taken, not ")[2]


@pytest.mark.parametrize(
    ("status", "begin", "end", "code", "word"),
    [
        ("REVOKED", -30, 30, "CERTIFICATE_REVOKED", "revoked"),
        ("EXPIRED", -30, 30, "CERTIFICATE_NOT_VALID", "expired"),
        ("ACTIVE", -30, -1, "CERTIFICATE_NOT_VALID", "expired"),
        ("ACTIVE", 1, 30, "CERTIFICATE_NOT_VALID", "not yet valid"),
    ],
)
def test_a_certificate_that_can_not_sign_is_told(
    host: Host, status: str, begin: int, end: int, code: str, word: str
) -> None:
    pair = host.world.add_keypair("release")
    certificate = host.world.add_certificate(pair, "code", begin=NOW + begin * DAY, end=NOW + end * DAY)
    certificate.status = status
    error = refused(settings(host, "release"))
    assert error.code == code
    assert word in error.message
    assert host.service.record.of("POST") == []


def test_an_expired_key_pair_of_the_same_alias_is_passed_over_and_named(host: Host) -> None:
    old = host.world.add_keypair("release")
    host.world.add_certificate(old, "2024", begin=NOW - 400 * DAY, end=NOW - 10 * DAY)
    newest = host.world.add_certificate(host.world.add_keypair("release"), "2025")
    remarks: list[str | RunWarning] = []
    store = open_key_store(settings(host, "release"), notice=remarks.append)
    store.close()
    assert store.certificate_chain()[0] == newest.leaf.der
    assert [str(remark).partition(" is taken, not ")[2].startswith("2024 (") for remark in remarks] == [True]
    newest.status = "REVOKED"
    assert refused(settings(host, "release")).code == "CERTIFICATE_REVOKED"


def test_the_key_pair_that_was_renewed_early_signs_and_a_stranger_s_is_not_guessed(host: Host) -> None:
    """The earlier certificate is valid for some weeks yet."""
    host.world.add_certificate(host.world.add_keypair("release"), "2025", begin=NOW - 300 * DAY, end=NOW + 20 * DAY)
    renewed = host.world.add_certificate(host.world.add_keypair("release"), "2026", begin=NOW - DAY)
    assert taken(settings(host, "release")) == renewed.leaf.der
    stranger = host.world.add_keypair("release")
    leaf = signer("Somebody else", host.world.intermediate, key=stranger.key, begin=NOW - DAY, end=NOW + DAY)
    host.world.add_certificate(stranger, "other", leaf=leaf)
    assert refused(settings(host, "release")).code == "ALIAS_AMBIGUOUS"


def test_a_valid_certificate_of_the_same_subject_under_another_alias_is_a_hint(host: Host) -> None:
    host.world.add_certificate(host.world.add_keypair("release"), "2024", begin=NOW - 400 * DAY, end=NOW - 10 * DAY)
    host.world.add_certificate(host.world.add_keypair("release-2026"), "2026")
    stranger = host.world.add_keypair("stranger")
    leaf = signer("Somebody else", host.world.intermediate, key=stranger.key, begin=NOW - DAY, end=NOW + DAY)
    host.world.add_certificate(stranger, "other", leaf=leaf)
    error = refused(settings(host, "release"))
    assert error.code == "CERTIFICATE_NOT_VALID"
    assert "same subject: release-2026. Name it with --keypair-alias" in error.remedy


def test_a_misspelt_alias_gets_the_near_ones(host: Host) -> None:
    add(host, "Release-2025")
    add(host, "nightly")
    error = refused(settings(host, "release-2025"))
    assert error.code == "ALIAS_NOT_FOUND"
    assert error.remedy.startswith("Did you mean Release-2025?")
    assert "case-sensitive" in error.remedy
    assert "nightly: nightly-certificate (" in error.message
    error = refused(settings(host, "Relaese-2025"))
    assert "Release-2025" in error.remedy
    assert "Did you mean" not in refused(settings(host, "xyz")).remedy


def test_a_key_pair_without_certificate_is_told(host: Host) -> None:
    host.world.add_keypair("bare")
    assert refused(settings(host, "bare")).code == "KEYPAIR_WITHOUT_CERTIFICATE"


def test_one_alias_in_two_accounts_needs_the_account(host: Host) -> None:
    first = add(host, "release")
    other = host.world.add_keypair("release", account=Account("Daughter Ltd"))
    second = host.world.add_certificate(other, "second")
    error = refused(settings(host, "release"))
    assert error.code == "ALIAS_AMBIGUOUS"
    assert first.keypair.id in error.message
    assert other.id in error.message
    named = settings_of(host, keypair_alias="release", account_id=other.account.id)
    assert taken(named) == second.leaf.der


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "OFFLINE"}, "KEYPAIR_OFFLINE"),
        ({"team": True}, "KEYPAIR_RESTRICTED"),
        ({"signers": frozenset({"somebody.else"})}, "KEYPAIR_RESTRICTED"),
    ],
)
def test_a_key_pair_that_may_not_sign_is_told_before_anything_is_spent(
    host: Host, change: dict[str, object], code: str
) -> None:
    pair = add(host, "release").keypair
    for name, value in change.items():
        setattr(pair, name, value)
    assert refused(settings(host, "release")).code == code
    assert host.service.record.of("POST") == []


def test_a_certificate_of_another_key_is_told_by_both_names(host: Host) -> None:
    pair = host.world.add_keypair("release")
    host.world.add_certificate(pair, "wrong", leaf=signer("Somebody", host.world.intermediate, end=NOW + 90 * DAY))
    error = refused(settings(host, "release"))
    assert error.code == "KEY_MISMATCH"
    assert "release" in error.message
    assert '"Somebody"' in error.message


def test_a_key_that_authenticode_can_not_use_is_told(host: Host) -> None:
    add(host, "weak")
    pair = host.world.add_keypair("release", rsa.generate_private_key(65537, 1024))  # noqa: S505 - made to be refused
    host.world.add_certificate(pair, "small")
    assert refused(settings(host, "release")).code == "UNSUPPORTED_KEY"


def test_the_chain_is_put_in_order_and_strangers_are_left_out(host: Host) -> None:
    world, stranger = host.world, ca("Stranger", end=NOW + 900 * DAY)
    in_order = (world.intermediate.der, world.root.der)
    for number, chain in enumerate(
        [
            (world.intermediate, world.root),
            (world.root, world.intermediate),
            (stranger, world.root, world.intermediate, stranger, world.root),
        ]
    ):
        certificate = world.add_certificate(world.add_keypair(f"key {number}"), f"code {number}", chain=chain)
        store = open_key_store(settings(host, f"key {number}"))
        store.close()
        assert store.certificate_chain() == (certificate.leaf.der, *in_order)


def test_a_cross_signed_chain_goes_one_way_and_ends(host: Host) -> None:
    """Two roots sign each other's keys: the chain is followed and never goes round."""
    world = host.world
    other = ca("Other root", end=NOW + 900 * DAY)
    cross = ca("Stand-in Code Signing Root", other, key=world.root.key, end=NOW + 800 * DAY)
    back = ca("Other root", world.root, key=other.key, end=NOW + 800 * DAY)
    world.add_certificate(world.add_keypair("release"), "code", chain=(back, other, cross, world.intermediate))
    store = open_key_store(settings(host, "release"))
    store.close()
    chain = store.certificate_chain()
    assert chain[1] == world.intermediate.der
    assert chain[2] == cross.der
    assert len(chain) == len(set(chain))


def test_without_a_chain_the_leaf_stands_alone(host: Host) -> None:
    certificate = host.world.add_certificate(host.world.add_keypair("release"), "code", chain=())
    store = open_key_store(settings(host, "release"))
    store.close()
    assert store.certificate_chain() == (certificate.leaf.der,)


def test_an_odd_certificate_of_a_stranger_does_not_hinder(host: Host) -> None:
    wanted = add(host, "release")
    host.world.add_certificate(host.world.add_keypair("odd"), "odd").alias = None
    damaged = [{"id": "1"}, {"id": "2", "cert": "MIIB"}, {"id": "3", "cert": "%"}, None, 7]
    real = [wire.certificate(certificate) for certificate in host.world.certificates]
    host.service.faults.append(Fault("GET", "certificates?", Response(200, wire.page([*damaged, *real], 0, 100))))
    assert taken(settings(host, "release")) == wanted.leaf.der


def test_it_is_reopened_by_its_address_with_the_credentials_of_this_run(host: Host, tmp_path: Path) -> None:
    add(host, "release")
    synced = synchronise(kept(settings(host, "release"), tmp_path))
    assert synced.key_reference == {
        "host": host.service.url,
        "keypair": host.world.keypairs[0].id,
        "certificate": host.world.certificates[0].id,
    }
    by_thumbprint = kept(settings(host, None), tmp_path).model_copy(update={"key_store": None})
    reopen_key_store(by_thumbprint, synced).close()
    host.world.certificates[0].status = "REVOKED"
    with pytest.raises(PrerequisiteError, match="certificate release-certificate is revoked") as caught:
        reopen_key_store(by_thumbprint, synced)
    assert caught.value.code == "CERTIFICATE_REVOKED"
    elsewhere = by_thumbprint.model_copy(
        update={"credentials": settings(host, None, SM_HOST="https://other").credentials}
    )
    with pytest.raises(PrerequisiteError, match="synchronised from") as caught:
        reopen_key_store(elsewhere, synced)
    assert caught.value.code == "KEYLOCKER_HOST"


def test_what_ends_soon_is_said_at_certsync(host: Host, tmp_path: Path) -> None:
    pair = host.world.add_keypair("release")
    pair.kind = "TEST"
    host.world.add_certificate(pair, "code", end=NOW + 20 * DAY)
    host.access.client_p12(host.world.user.name, end=NOW + 10 * DAY)
    heard: list[str | RunWarning] = []
    synchronised = synchronise(kept(settings(host, "release"), tmp_path), heard.append)
    client, kind = heard
    assert isinstance(client, RunWarning)
    assert client.code == "CLIENT_CERTIFICATE_ENDS"
    assert client.message.startswith("the client certificate (SM_CLIENT_CERT_FILE) expires on ")
    assert "type TEST" in str(kind)
    warning = next(iter(certificate_warnings(synchronised)))
    assert warning.code == "CERTIFICATE_ENDS"
    assert "in 19 days" in warning.message


def test_a_superseded_certificate_that_was_named_is_a_warning(host: Host) -> None:
    pair = host.world.add_keypair("release")
    older = host.world.add_certificate(pair, "2024", begin=NOW - 400 * DAY)
    newer = host.world.add_certificate(pair, "2025", begin=NOW - 20 * DAY)
    for named, warned in ((older, True), (newer, False)):
        heard: list[str | RunWarning] = []
        open_key_store(settings(host, named.id), notice=heard.append).close()
        codes = [said.code for said in heard if isinstance(said, RunWarning)]
        assert codes == (["CERTIFICATE_SUPERSEDED"] if warned else [])
