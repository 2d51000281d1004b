"""certsync as the path calls it: from a key store, by thumbprint alone, and every way it can be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from pydantic import SecretStr

from kspsign import certsync
from kspsign.certsync import certificate_facts, read_entry, synchronise
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.embedded.options import EmbeddedOptions
from kspsign.keys.open import reopen_key_store
from kspsign.keys.pkcs12.options import Pkcs12Options
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, SyncedCertificate
from kspsign.settings.model import Settings

SECRET = "only in memory"  # noqa: S105 - protects throw-away keys


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def synced(store: Path) -> SyncedCertificate:
    return synchronise(
        Settings(key_store="embedded", store_options=EmbeddedOptions(keypair_alias="release"), store=store)
    )


def test_the_embedded_certificate_is_kept_by_thumbprint(store: Path, synced: SyncedCertificate) -> None:
    assert synced.thumbprint == hashlib.sha1(synced.chain[0], usedforsecurity=False).hexdigest().upper()
    assert (synced.key_store, synced.alias, synced.test_signing) == ("embedded", "release", True)
    assert read_entry(store, synced.thumbprint) == synced


def test_by_thumbprint_alone_the_same_certificate_comes_and_signs(store: Path, synced: SyncedCertificate) -> None:
    settings = Settings(thumbprint=synced.thumbprint.lower(), store=store)
    assert synchronise(settings) == synced
    signature = reopen_key_store(settings, synced).sign(b"\1" * 32, DigestAlgorithm.SHA256)
    assert len(signature.value) == 384


def test_synchronising_again_gives_the_same_thumbprint(store: Path, synced: SyncedCertificate) -> None:
    settings = Settings(
        key_store="embedded",
        store_options=EmbeddedOptions(keypair_alias="release"),
        store=store,
        thumbprint=synced.thumbprint,
    )
    assert synchronise(settings) == synced


def test_the_wrong_thumbprint_names_both_and_changes_nothing(store: Path, synced: SyncedCertificate) -> None:
    before = sorted(store.rglob("*"))
    with pytest.raises(PrerequisiteError) as caught:
        synchronise(Settings(key_store="embedded", store=store, thumbprint="AB" * 20))
    assert caught.value.code == "WRONG_THUMBPRINT"
    assert caught.value.exit_code == 5
    assert "AB" * 20 in caught.value.message
    assert synced.thumbprint in caught.value.message
    assert "--thumbprint" in caught.value.remedy
    assert sorted(store.rglob("*")) == before


def test_neither_key_store_nor_thumbprint_is_a_configuration_error(store: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        synchronise(Settings(store=store))
    assert "--key-store" in caught.value.remedy
    assert "--thumbprint" in caught.value.remedy


def test_a_pkcs12_file_goes_the_same_way_without_its_password(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    content = pkcs12.serialize_key_and_certificates(
        None,
        authority.leaf.key,
        authority.leaf.certificate,
        [authority.intermediate.certificate],
        BestAvailableEncryption(SECRET.encode()),
    )
    (tmp_path / "key.p12").write_bytes(content)
    store = tmp_path / "store"
    password = SecretStr(SECRET)
    options = Pkcs12Options(pkcs12=tmp_path / "key.p12", password=password)
    first = synchronise(Settings(key_store="pkcs12", store_options=options, store=store))
    assert first.chain == authority.signing_chain[:2]
    assert not first.test_signing
    known = Pkcs12Options(thumbprint=first.thumbprint, password=password)
    by_thumbprint = Settings(key_store="pkcs12", thumbprint=first.thumbprint, store_options=known, store=store)
    assert synchronise(by_thumbprint) == first
    assert reopen_key_store(by_thumbprint, first).certificate_chain() == first.chain
    kept = [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    assert kept
    assert not any(SECRET.encode() in content or b"PRIVATE" in content for content in kept)


def test_facts_are_in_the_report_s_words(synced: SyncedCertificate, store: Path) -> None:
    facts = certificate_facts(synced)
    assert facts.thumbprint == synced.thumbprint
    assert facts.sha256 == hashlib.sha256(synced.chain[0]).hexdigest()
    assert facts.subject == "CN=kspsign TEST SIGNING publisher - do not trust,O=kspsign TEST SIGNING"
    assert facts.issuer == "CN=kspsign TEST SIGNING intermediate - do not trust,O=kspsign TEST SIGNING"
    assert len(facts.serial) % 2 == 0
    assert set(facts.serial) <= set("0123456789ABCDEF")
    assert facts.not_before < facts.not_after
    assert facts.not_after.endswith("Z")
    assert facts.alias == "release"
    assert certificate_facts(read_entry(store, synced.thumbprint)) == facts


def test_the_public_names_are_there() -> None:
    assert certsync.__all__ == sorted(certsync.__all__)
    assert all(hasattr(certsync, name) for name in certsync.__all__)
