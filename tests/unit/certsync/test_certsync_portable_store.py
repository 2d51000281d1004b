"""The portable thumbprint store: what it keeps, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kspsign.certsync import list_entries, newer_synchronised, read_entry, write_entry
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import SyncedCertificate
from support.pki import ca, issue, new_key


@pytest.fixture
def certificate(authority: EmbeddedAuthority) -> SyncedCertificate:
    return SyncedCertificate(
        thumbprint=hashlib.sha1(authority.signing_chain[0], usedforsecurity=False).hexdigest().upper(),
        chain=authority.signing_chain,
        alias="Schlüssel 1",
        key_store="embedded",
        key_reference={"folder": "/somewhere/else"},
        test_signing=True,
    )


@pytest.fixture
def folder(tmp_path: Path, certificate: SyncedCertificate) -> Path:
    write_entry(tmp_path, certificate)
    return tmp_path / "certificates" / certificate.thumbprint


def test_what_is_written_is_read_again(tmp_path: Path, folder: Path, certificate: SyncedCertificate) -> None:
    assert read_entry(tmp_path, certificate.thumbprint) == certificate
    assert list_entries(tmp_path) == (certificate,)
    assert sorted(path.name for path in folder.iterdir()) == ["chain.pem", "entry.json"]


def test_the_files_say_what_the_certificate_is(folder: Path, authority: EmbeddedAuthority) -> None:
    entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
    leaf = authority.leaf.certificate
    assert list(entry) == [
        *("schema", "thumbprint", "sha256", "subject", "issuer", "serial", "not_before", "not_after"),
        *("alias", "key_store", "key_reference", "test_signing", "synced_at"),
    ]
    assert entry["schema"] == "kspsign.certificate/1"
    assert entry["sha256"] == hashlib.sha256(authority.signing_chain[0]).hexdigest()
    assert entry["subject"] == leaf.subject.rfc4514_string()
    assert entry["issuer"] == leaf.issuer.rfc4514_string()
    assert int(entry["serial"], 16) == leaf.serial_number
    assert entry["not_after"] == leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    chain = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
    assert chain == [leaf, authority.intermediate.certificate, authority.root.certificate]


def test_a_private_key_is_never_among_it(folder: Path) -> None:
    assert not any(b"PRIVATE" in path.read_bytes() for path in folder.iterdir())


def test_a_later_certificate_of_the_same_key_is_told(tmp_path: Path) -> None:
    now, key = datetime.now(UTC), new_key()
    entries = []
    for begin, alias in ((-400, "release"), (-20, "release"), (-10, "other")):
        made = issue("Contoso", ca("Root"), key=key, begin=now + timedelta(days=begin), end=now + timedelta(days=90))
        thumbprint = hashlib.sha1(made.der, usedforsecurity=False).hexdigest().upper()
        entries.append(SyncedCertificate(thumbprint, (made.der,), alias, "keylocker", {}, test_signing=False))
        write_entry(tmp_path, entries[-1])
    older, newer, other = entries
    (remark,) = newer_synchronised(tmp_path, older)
    assert newer.thumbprint in remark.partition("is superseded by")[2]
    assert other.thumbprint not in remark
    assert newer_synchronised(tmp_path, newer) == newer_synchronised(tmp_path, other) == ()
    (tmp_path / "certificates" / other.thumbprint / "entry.json").write_text("{", encoding="utf-8")
    assert newer_synchronised(tmp_path, older) == ()


def test_writing_again_replaces_what_was_known(tmp_path: Path, folder: Path, certificate: SyncedCertificate) -> None:
    renewed = certificate._replace(chain=certificate.chain[:1], key_reference={"folder": "/new"}, alias=None)
    write_entry(tmp_path, renewed)
    assert read_entry(tmp_path, certificate.thumbprint) == renewed
    assert len(list(folder.iterdir())) == 2


def test_an_unknown_thumbprint_is_told_with_the_known_ones(
    tmp_path: Path, folder: Path, certificate: SyncedCertificate
) -> None:
    assert folder.is_dir()
    with pytest.raises(PrerequisiteError) as caught:
        read_entry(tmp_path, "0" * 40)
    assert caught.value.code == "UNKNOWN_THUMBPRINT"
    assert f"{'0' * 40} in {tmp_path}; known: {certificate.thumbprint}" in caught.value.message
    assert caught.value.remedy.startswith("Run kspsign certsync first")


def test_an_empty_store_knows_none(tmp_path: Path) -> None:
    assert list_entries(tmp_path / "missing") == ()
    with pytest.raises(PrerequisiteError, match="known: none"):
        read_entry(tmp_path / "missing", "0" * 40)


def test_a_mistyped_thumbprint_gets_a_hint(tmp_path: Path, folder: Path, certificate: SyncedCertificate) -> None:
    assert folder.is_dir()
    digit = "0" if certificate.thumbprint[7] != "0" else "1"
    mistyped = certificate.thumbprint[:7] + digit + certificate.thumbprint[8:]
    with pytest.raises(PrerequisiteError) as caught:
        read_entry(tmp_path, mistyped)
    assert caught.value.remedy.startswith(f"Did you mean {certificate.thumbprint}?")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("entry.json", b""),
        ("entry.json", b"{"),
        ("entry.json", b"[]"),
        ("entry.json", b"[" * 100_000),
        ("entry.json", b"\xff\xfe"),
        ("entry.json", b'{"schema": "kspsign.certificate/2"}'),
        ("chain.pem", b""),
        ("chain.pem", b"text"),
        ("chain.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("chain.pem", None),
    ],
)
def test_damage_names_the_file_and_the_fix(
    tmp_path: Path, folder: Path, certificate: SyncedCertificate, name: str, content: bytes | None
) -> None:
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PrerequisiteError) as caught:
        read_entry(tmp_path, certificate.thumbprint)
    assert caught.value.code == "STORE_DAMAGED"
    assert str(path) in caught.value.message
    assert f"Delete the folder {folder}" in caught.value.remedy
    with pytest.raises(PrerequisiteError, match="damaged"):
        list_entries(tmp_path)
    write_entry(tmp_path, certificate)
    assert read_entry(tmp_path, certificate.thumbprint) == certificate


def test_an_entry_under_another_thumbprint_is_damage(
    tmp_path: Path, folder: Path, certificate: SyncedCertificate
) -> None:
    folder.rename(folder.with_name("A" * 40))
    with pytest.raises(PrerequisiteError, match="does not have this thumbprint"):
        read_entry(tmp_path, "A" * 40)
    assert certificate.thumbprint != "A" * 40


def test_a_store_that_can_not_be_written_is_told(tmp_path: Path, certificate: SyncedCertificate) -> None:
    (tmp_path / "store").write_bytes(b"a file in the way")
    with pytest.raises(PrerequisiteError) as caught:
        write_entry(tmp_path / "store", certificate)
    assert caught.value.code == "STORE_NOT_WRITABLE"
    assert "--store" in caught.value.remedy


def test_a_certificate_that_can_not_be_read_is_told(tmp_path: Path, certificate: SyncedCertificate) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        write_entry(tmp_path, certificate._replace(chain=(b"\x30\x00",)))
    assert caught.value.code == "CERTIFICATE_UNREADABLE"
    assert list(tmp_path.iterdir()) == []
