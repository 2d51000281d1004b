"""The credentials of the KeyLocker key store: each missing, wrong, expired or refused; none is ever repeated."""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from kspsign.keys.open import open_key_store
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from support.digicert_one.access import PASSWORD
from support.digicert_one.fixture import Host, running
from support.digicert_one.world import DAY, NOW
from support.keylocker import settings
from support.pki import ca, issue


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        yield host


def refused(host: Host, **changed: str | None) -> KspSignError:
    with pytest.raises(KspSignError) as caught:
        open_key_store(settings(host, "release", **changed))
    return caught.value


def test_every_missing_credential_is_named_at_once(host: Host) -> None:
    error = refused(host, SM_HOST=None, SM_API_KEY="", SM_CLIENT_CERT_FILE=None)
    assert error.code == "KEYLOCKER_CREDENTIALS"
    for name in ("SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_FILE", "SM_CLIENT_CERT_FILE_B64"):
        assert name in error.message
    assert "SM_CLIENT_CERT_PASSWORD" not in error.message


def test_every_wrong_credential_is_named_at_once(host: Host) -> None:
    wrong = {"SM_HOST": "http://a", "SM_API_KEY": "a\nb", "SM_CLIENT_CERT_FILE": "no.p12", "SM_CONN_TIMEOUT": "soon"}
    error = refused(host, **wrong)
    assert isinstance(error, PrerequisiteError)
    assert error.code == "KEYLOCKER_HOST"
    assert all(name in error.message for name in wrong)
    assert "clientauth.one.digicert.com" in error.remedy
    assert "DownloadSecureFile@1" in error.remedy
    assert "a\nb" not in str(error)


@pytest.mark.parametrize("url", ["http://localhost", "https://user@localhost", "https://localhost/x", "ftp://a", "a b"])
def test_a_host_that_is_no_https_address_is_told(host: Host, url: str) -> None:
    error = refused(host, SM_HOST=url)
    assert isinstance(error, ConfigurationError)
    assert error.code == "KEYLOCKER_HOST"


def test_a_host_may_lack_its_scheme_and_end_in_a_slash(host: Host) -> None:
    bare = host.service.url.removeprefix("https://").replace("localhost", "LOCALHOST")
    store = open_key_store(settings(host, "release", SM_HOST=f" {bare}/ "))
    assert store.key_reference()["host"] == host.service.url
    store.close()


@pytest.mark.parametrize("number", ["0", "-1", "soon", "1e3", "\u0663"])
def test_a_timeout_that_is_no_number_is_told(host: Host, number: str) -> None:
    assert "SM_CONN_TIMEOUT" in refused(host, SM_CONN_TIMEOUT=number).message


def test_a_wrong_api_key_is_refused_and_not_repeated(host: Host) -> None:
    error = refused(host, SM_API_KEY="01_wrong-but-secret")
    assert error.code == "API_KEY_REFUSED"
    assert "wrong-but-secret" not in error.message + error.remedy


@pytest.mark.parametrize("key", ["two\nlines", "umlaut\u00fc", "bell\a"])
def test_an_api_key_that_no_header_takes_is_told_without_it(host: Host, key: str) -> None:
    error = refused(host, SM_API_KEY=key)
    assert error.code == "KEYLOCKER_CREDENTIALS"
    assert key not in error.message
    assert host.service.record.connections == 0


def test_a_trailing_line_break_does_no_harm(host: Host) -> None:
    changed = {name: f"{host.environment[name]}\r\n" for name in ("SM_API_KEY", "SM_CLIENT_CERT_PASSWORD")}
    open_key_store(settings(host, "release", **changed)).close()


def test_a_client_certificate_may_be_as_certutil_encodes_it(host: Host) -> None:
    encoded = base64.encodebytes(Path(host.environment["SM_CLIENT_CERT_FILE"]).read_bytes()).decode()
    text = f"-----BEGIN CERTIFICATE-----\r\n{encoded}-----END CERTIFICATE-----\r\n"
    open_key_store(settings(host, "release", SM_CLIENT_CERT_FILE=None, SM_CLIENT_CERT_FILE_B64=text)).close()


def test_a_wrong_password_is_told(host: Host) -> None:
    error = refused(host, SM_CLIENT_CERT_PASSWORD="not-the-one")  # noqa: S106 - made up
    assert error.code == "CLIENT_CERTIFICATE_PASSWORD"
    assert "not-the-one" not in error.message + error.remedy


def test_a_client_certificate_file_that_is_none_is_told(host: Host, tmp_path: Path) -> None:
    text = tmp_path / "text.p12"
    text.write_bytes(b"-----BEGIN CERTIFICATE-----")
    for path in (tmp_path / "missing.p12", tmp_path, text, "x" * 5000, "nul\0"):
        error = refused(host, SM_CLIENT_CERT_FILE=str(path))
        assert error.code == "CLIENT_CERTIFICATE"
        assert "x" * 1000 not in error.message
    error = refused(host, SM_CLIENT_CERT_FILE=None, SM_CLIENT_CERT_FILE_B64="no base64!")
    assert error.code == "CLIENT_CERTIFICATE"
    assert "no base64!" not in error.message


def test_a_client_certificate_without_a_usable_key_is_told(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "odd.p12"
    encryption = BestAvailableEncryption(PASSWORD.encode())
    own = issue("ci", key=ed25519.Ed25519PrivateKey.generate(), end=NOW + DAY)
    for key in (own.key, None):
        path.write_bytes(pkcs12.serialize_key_and_certificates(None, key, own.certificate, None, encryption))
        assert refused(host, SM_CLIENT_CERT_FILE=str(path)).code == "CLIENT_CERTIFICATE"


def test_an_expired_client_certificate_is_told_before_any_request(host: Host) -> None:
    host.access.client_p12(host.world.user.name, end=NOW - DAY)
    assert refused(host).code == "CLIENT_CERTIFICATE_EXPIRED"
    assert host.service.record.connections == 0


def test_a_client_certificate_of_another_authority_is_refused_by_tls(host: Host) -> None:
    host.access.client_p12(host.world.user.name, root=ca("Another", end=NOW + 90 * DAY))
    assert refused(host).code in {"KEYLOCKER_TLS", "KEYLOCKER_UNREACHABLE"}
    assert host.service.record.requests == []


def test_a_client_certificate_of_another_user_is_refused(host: Host) -> None:
    host.access.client_p12("somebody.else")
    assert refused(host).code == "ACCESS_DENIED"


def test_a_host_that_is_not_trusted_gets_no_key(host: Host) -> None:
    error = refused(host, SM_CA_FILE=None)
    assert error.code == "KEYLOCKER_TLS"
    assert "SM_CA_FILE" in error.remedy
    assert host.service.record.requests == []


def test_the_authority_may_be_der(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "root.der"
    path.write_bytes(host.access.server_root.der)
    open_key_store(settings(host, "release", SM_CA_FILE=str(path))).close()
    path.write_bytes(b"-----BEGIN nothing")
    assert refused(host, SM_CA_FILE=str(path)).code == "CLIENT_CERTIFICATE_AUTHORITY"
    path.write_bytes(b"\x30\x80")
    assert refused(host, SM_CA_FILE=str(path)).code == "CLIENT_CERTIFICATE_AUTHORITY"


def test_the_key_reaches_tls_without_coming_to_a_disk(
    host: Host, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    open_key_store(settings(host, "release")).close()
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    if sys.platform == "win32":  # no path for what is no file
        assert refused(host).code == "CLIENT_CERTIFICATE"
    else:
        open_key_store(settings(host, "release")).close()


def test_no_error_is_a_programming_one(host: Host) -> None:
    assert isinstance(refused(host, SM_API_KEY="x"), PrerequisiteError)
