"""The PKCS#12 key store: files made by cryptography and by the openssl program, good and bad."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from pydantic import SecretStr

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.open import open_key_store, reopen_key_store
from kspsign.keys.pkcs12.options import Pkcs12Options
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, SyncedCertificate
from kspsign.settings.model import Settings

PASSWORD = "korrekt-Pferd-Ü"  # noqa: S105 - protects throw-away keys


def settings(path: Path, password: str | None = PASSWORD) -> Settings:
    secret = None if password is None else SecretStr(password)
    return Settings(key_store="pkcs12", store_options=Pkcs12Options(pkcs12=path, password=secret))


def write(
    path: Path,
    key: pkcs12.PKCS12PrivateKeyTypes | None,
    certificate: x509.Certificate | None,
    others: list[x509.Certificate] | None = None,
    encryption: KeySerializationEncryption | None = None,
) -> Path:
    chosen = encryption or BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"alias", key, certificate, others, chosen))
    return path


def self_signed(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Self")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


@pytest.fixture
def whole(tmp_path: Path, authority: EmbeddedAuthority) -> Path:
    """Leaf and key with the chain in the wrong order and a stranger among it."""
    others = [authority.root.certificate, authority.timestamp.certificate, authority.intermediate.certificate]
    return write(tmp_path / "whole.p12", authority.leaf.key, authority.leaf.certificate, others)


def failure(path: Path, password: str | None = PASSWORD) -> PrerequisiteError:
    with pytest.raises(PrerequisiteError) as caught:
        open_key_store(settings(path, password))
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert PASSWORD not in caught.value.message + caught.value.remedy
    return caught.value


def test_the_chain_is_ordered_leaf_first_without_strangers(whole: Path, authority: EmbeddedAuthority) -> None:
    store = open_key_store(settings(whole))
    assert store.certificate_chain() == authority.signing_chain
    assert (store.name, store.test_signing) == ("pkcs12", False)
    assert store.key_reference() == {"file": str(whole.absolute())}
    signature = store.sign(hashlib.sha384(b"data").digest(), DigestAlgorithm.SHA384)
    authority.leaf.key.public_key().verify(signature.value, b"data", PKCS1v15(), hashes.SHA384())
    store.close()


def test_a_file_of_an_elliptic_key(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    store = open_key_store(settings(write(tmp_path / "ec.p12", key, self_signed(key))))
    signature = store.sign(hashlib.sha256(b"data").digest(), DigestAlgorithm.SHA256)
    key.public_key().verify(signature.value, b"data", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("options", [[], ["-legacy"], ["-keypbe", "NONE", "-certpbe", "AES-256-CBC"]])
def test_files_of_the_openssl_program(tmp_path: Path, authority: EmbeddedAuthority, options: list[str]) -> None:
    key = authority.leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "leaf.pem").write_bytes(authority.leaf.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(
        authority.root.certificate.public_bytes(Encoding.PEM)
        + authority.intermediate.certificate.public_bytes(Encoding.PEM)
    )
    subprocess.run(
        [
            *("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "leaf.pem", "-certfile", "ca.pem"),
            *("-out", "made.p12", "-passout", "stdin"),
            *options,
        ],
        cwd=tmp_path,
        input="plain-ascii\n",
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    store = open_key_store(settings(tmp_path / "made.p12", "plain-ascii"))
    assert store.certificate_chain() == authority.signing_chain


def test_a_file_in_ber_is_read_without_a_warning(whole: Path, authority: EmbeddedAuthority) -> None:
    der = whole.read_bytes()
    assert der[:2] == b"\x30\x82"
    whole.write_bytes(b"\x30\x80" + der[4:] + b"\0\0")
    assert open_key_store(settings(whole)).certificate_chain() == authority.signing_chain


def test_a_file_without_password_needs_none(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    path = write(tmp_path / "open.p12", authority.leaf.key, authority.leaf.certificate, None, NoEncryption())
    assert open_key_store(settings(path, None)).certificate_chain() == authority.signing_chain[:1]


def test_a_missing_password_is_told_with_the_fix(whole: Path) -> None:
    error = failure(whole, None)
    assert error.code == "PASSWORD_MISSING"
    assert "--password-env" in error.remedy


@pytest.mark.parametrize("password", ["", "wrong", "\0", "\udcff", PASSWORD + "\n"])
def test_a_wrong_password_is_told(whole: Path, password: str) -> None:
    assert failure(whole, password).code == "WRONG_PASSWORD"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert failure(tmp_path / "missing.p12").code == "PKCS12_UNREADABLE"
    assert failure(tmp_path).code == "PKCS12_UNREADABLE"


def test_what_is_no_pkcs12_is_told_apart_from_a_wrong_password(whole: Path, authority: EmbeddedAuthority) -> None:
    content = whole.read_bytes()
    pem = authority.leaf.certificate.public_bytes(Encoding.PEM)
    der = authority.leaf.certificate.public_bytes(Encoding.DER)
    for other in (b"", b"text", pem, der, content[:-1], content + b"\n"):
        whole.write_bytes(other)
        assert failure(whole).code == "NOT_PKCS12"


def test_a_file_without_private_key_is_told(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    path = write(tmp_path / "a.p12", None, authority.leaf.certificate)
    assert failure(path).code == "NO_PRIVATE_KEY"


def test_a_file_without_certificate_is_told(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    assert failure(write(tmp_path / "a.p12", authority.leaf.key, None)).code == "NO_CERTIFICATE"


def test_keys_that_authenticode_can_not_use_are_told(tmp_path: Path) -> None:
    edwards = ed25519.Ed25519PrivateKey.generate()
    error = failure(write(tmp_path / "a.p12", edwards, self_signed(edwards)))
    assert error.code == "UNSUPPORTED_KEY"
    assert "Ed25519" in error.message


def test_a_key_that_fits_no_certificate_opens_for_the_signer_to_report(
    tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    others = [authority.root.certificate, authority.intermediate.certificate, authority.leaf.certificate]
    store = open_key_store(settings(write(tmp_path / "a.p12", stranger, None, others)))
    assert store.certificate_chain() == authority.signing_chain


def test_the_file_must_be_named() -> None:
    nameless = Settings(key_store="pkcs12", store_options=Pkcs12Options(thumbprint="AB" * 20))
    with pytest.raises(ConfigurationError, match="needs its file"):
        open_key_store(nameless)


def test_it_is_reopened_by_reference_with_the_password_of_this_run(whole: Path) -> None:
    store = open_key_store(settings(whole))
    chain = store.certificate_chain()
    synced = SyncedCertificate("0" * 40, chain, None, "pkcs12", store.key_reference(), test_signing=False)
    again = reopen_key_store(Settings(given_options={"password": SecretStr(PASSWORD)}), synced)
    assert again.certificate_chain() == chain
    with pytest.raises(PrerequisiteError) as caught:
        reopen_key_store(Settings(), synced)
    assert caught.value.code == "PASSWORD_MISSING"
