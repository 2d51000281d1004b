"""The throw-away authority: what its certificates say, and that a folder keeps exactly one of them."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kspsign.embedded.authority import ROLES, EmbeddedAuthority, load_authority, load_or_create
from kspsign.model.errors import PrerequisiteError

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority in it; tests that change it copy what they change back."""
    folder = tmp_path_factory.mktemp("kept") / "deep" / "embedded"
    load_or_create(folder)
    return folder


def usage(certificate: x509.Certificate) -> tuple[list[x509.ObjectIdentifier], bool]:
    extension = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    return list(extension.value), extension.critical


def assert_private(path: Path, mode: int) -> None:
    """On POSIX the mode is exactly `mode`; on Windows the user's profile protects the folder."""
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_every_subject_says_test_signing(authority: EmbeddedAuthority) -> None:
    for role in ROLES:
        subject = getattr(authority, role).certificate.subject
        (name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert str(name.value).startswith("kspsign TEST SIGNING ")
        assert str(name.value).endswith(" - do not trust")


def test_each_certificate_is_issued_by_the_right_one(authority: EmbeddedAuthority) -> None:
    authority.root.certificate.verify_directly_issued_by(authority.root.certificate)
    authority.intermediate.certificate.verify_directly_issued_by(authority.root.certificate)
    authority.leaf.certificate.verify_directly_issued_by(authority.intermediate.certificate)
    authority.timestamp.certificate.verify_directly_issued_by(authority.root.certificate)
    assert [x509.load_der_x509_certificate(der) for der in authority.signing_chain] == [
        authority.leaf.certificate,
        authority.intermediate.certificate,
        authority.root.certificate,
    ]


def test_usages_are_as_code_signing_and_timestamping_demand(authority: EmbeddedAuthority) -> None:
    assert usage(authority.leaf.certificate) == ([ExtendedKeyUsageOID.CODE_SIGNING], True)
    assert usage(authority.timestamp.certificate) == ([ExtendedKeyUsageOID.TIME_STAMPING], True)
    assert usage(authority.intermediate.certificate) == ([ExtendedKeyUsageOID.CODE_SIGNING], False)
    for keyed in (authority.leaf, authority.timestamp):
        key_usage = keyed.certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert key_usage.critical
        assert key_usage.value.digital_signature
        assert not key_usage.value.key_cert_sign
        assert keyed.key.key_size == 3072


def test_the_timestamp_unit_outlives_the_leaf(authority: EmbeddedAuthority) -> None:
    leaf = authority.leaf.certificate
    assert leaf.not_valid_before_utc < datetime.now(UTC)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=365)
    assert authority.timestamp.certificate.not_valid_after_utc > leaf.not_valid_after_utc


def test_a_folder_gives_the_same_authority_again(kept: Path) -> None:
    assert load_or_create(kept).signing_chain == load_authority(kept).signing_chain
    assert load_authority(kept).timestamp.key.private_numbers() == load_or_create(kept).timestamp.key.private_numbers()


def test_the_folder_is_private_and_nothing_else_is_left(kept: Path) -> None:
    assert_private(kept, 0o700)
    for path in kept.iterdir():
        assert_private(path, 0o600)
    assert sorted(path.name for path in kept.iterdir()) == sorted(
        f"{role}.{kind}" for role in ROLES for kind in ("pem", "key")
    )
    assert list(kept.parent.iterdir()) == [kept]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    folder = tmp_path / "embedded"
    folder.mkdir()
    assert load_or_create(folder).signing_chain == load_authority(folder).signing_chain
    assert_private(folder, 0o700)


@pytest.mark.parametrize(
    "name", [f"{role}.{kind}" for role in ("root", "leaf", "timestamp") for kind in ("pem", "key")]
)
def test_damage_names_the_file_and_the_fix(kept: Path, name: str) -> None:
    path = kept / name
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(PrerequisiteError) as caught:
            load_or_create(kept)
        path.write_bytes(whole)
        assert caught.value.code == "EMBEDDED_DAMAGED"
        assert str(path) in caught.value.message
        assert f"Delete the folder {kept}" in caught.value.remedy
    load_authority(kept)


def test_a_key_of_another_certificate_is_damage(kept: Path) -> None:
    path = kept / "leaf.key"
    whole = path.read_bytes()
    path.write_bytes((kept / "root.key").read_bytes())
    with pytest.raises(PrerequisiteError, match=r"leaf\.key: the key does not belong"):
        load_authority(kept)
    path.write_bytes(whole)


def test_expiry_is_told_with_the_fix(kept: Path) -> None:
    load_authority(kept, now=NOW + timedelta(days=364))
    with pytest.raises(PrerequisiteError, match="expired at") as caught:
        load_or_create(kept, now=NOW + timedelta(days=366))
    assert caught.value.code == "EMBEDDED_EXPIRED"
    assert f"Delete the folder {kept}" in caught.value.remedy


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "embedded"
    taken.write_text("in the way", encoding="utf-8")
    with pytest.raises(PrerequisiteError) as caught:
        load_or_create(taken)
    assert caught.value.code == "EMBEDDED_NOT_WRITABLE"
    assert [path.name for path in tmp_path.iterdir()] == ["embedded"]


def test_private_keys_do_not_show_in_repr(authority: EmbeddedAuthority) -> None:
    assert "RSAPrivateKey" not in repr(authority)
    assert "publisher - do not trust" in repr(authority)
