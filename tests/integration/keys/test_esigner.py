"""Key store esigner against SSL.com's hosts on loopback: which credential signs, with how many one-time passwords."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.certificates.parse import thumbprint_of
from kspsign.cli.main import main
from support.esigner.server import SANDBOX, ESigner
from support.esigner.world import CREDENTIAL, NOW, PASSWORD, TOTP, SigningKey
from support.pki import new_key
from support.samples import Run, kspsign, osslsigncode_verify
from support.service_faults import fill

OTHER_ID = "0c5f6e0a-1111-4c33-9f5e-5d6a5f0c1b2d"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ESigner]:
    (tmp_path / "ssl").mkdir()
    with ESigner(tmp_path / "ssl") as running:
        yield running


def run_in(
    service: ESigner,
    folder: Path,
    *more: object,
    options: tuple[object, ...] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**service.environment, **(environment or {})}.items():
            patch.setenv(name, value)
        return kspsign(
            *("run", "*.dll", "--folder", folder, *(service.options if options is None else options), *service.trust),
            *("--no-timestamp", "--store", folder / "store", *more),
            folder=folder,
        )


def test_many_files_take_one_password_and_a_peer_accepts_them(service: ESigner, tmp_path: Path) -> None:
    fill(tmp_path, 12)
    run = run_in(service, tmp_path, "--verbose")
    assert run.code == 0, run.text
    account = service.account
    assert len(account.signed) == run.report["totals"]["signatures_used"] == 12
    assert (account.authorized, len(account.windows), account.logins) == ([12], 1, 1)
    assert run.report["certificate"]["alias"] == CREDENTIAL
    peer = osslsigncode_verify(tmp_path / "00.dll", service.folder / "root.pem")
    assert peer.accepted, peer.text
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    for secret in (PASSWORD, TOTP, *account.sads, *account.tokens):
        assert secret not in run.text
        assert secret.encode() not in written


@pytest.mark.parametrize(
    ("key", "digest"),
    [(new_key(), "sha256"), (ec.generate_private_key(ec.SECP384R1()), "sha384"), (None, "sha512")],
    ids=["p256", "p384", "rsa sha512"],
)
def test_keys_and_digests(key: SigningKey | None, digest: str, service: ESigner, tmp_path: Path) -> None:
    service.account.add(CREDENTIAL, key)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path, "--digest", digest)
    assert run.code == 0, run.text


def test_a_digest_that_the_key_does_not_sign_is_refused_first(service: ESigner, tmp_path: Path) -> None:
    service.account.only.algorithms = ("1.2.840.113549.1.1.11",)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path, "--digest", "sha512")
    assert (run.code, run.report["error"]["code"], service.account.windows) == (3, "DIGEST_NOT_SUPPORTED", [])


def test_the_sandbox_has_hosts_and_a_client_id_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "ssl").mkdir()
    fill(tmp_path, 1)
    with ESigner(tmp_path / "ssl", SANDBOX) as service:
        run = run_in(service, tmp_path, "--esigner-environment", "sandbox")
        assert run.code == 0, run.text
        assert {request.host for request in service.record.requests} == set(SANDBOX)


def test_the_only_credential_needs_no_name(service: ESigner, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    run = run_in(service, tmp_path, options=("--key-store", "esigner"))
    assert run.code == 0, run.text


def test_of_several_credentials_one_is_named(service: ESigner, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    service.account.add("third", subject="Third publisher")
    second = service.account.add(OTHER_ID, new_key(), subject="Second publisher")
    thumbprint = thumbprint_of(second.chain[0].der)
    unnamed = run_in(service, tmp_path, options=("--key-store", "esigner"))
    assert (unnamed.code, unnamed.report["error"]["code"]) == (3, "ESIGNER_CREDENTIAL"), unnamed.text
    assert all(words in unnamed.text for words in (CREDENTIAL, OTHER_ID, "Second publisher", thumbprint)), unnamed.text
    unknown = run_in(service, tmp_path, "--keypair-alias", OTHER_ID[:-1])
    assert (unknown.code, f"did you mean {OTHER_ID}?" in unknown.text) == (5, True), unknown.text
    other = run_in(service, tmp_path, "--thumbprint", thumbprint)
    assert (other.code, "one of them is enough" in other.text) == (5, True), other.text
    named = run_in(service, tmp_path, "--thumbprint", thumbprint, options=("--key-store", "esigner"))
    assert named.code == 0, named.text
    assert named.report["certificate"]["alias"] == OTHER_ID


def test_the_synchronised_credential_signs_again(
    service: ESigner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        assert main(["certsync", *map(str, service.options), "--store", str(tmp_path / "store")]) == 0
        thumbprint = capsys.readouterr().out.splitlines()[-1]
        assert (thumbprint, service.account.windows) == (thumbprint_of(service.account.only.chain[0].der), [])
        given = ("sign", "*.dll", "--folder", tmp_path, "--thumbprint", thumbprint, *service.trust, "--no-timestamp")
        signed = kspsign(*given, "--store", tmp_path / "store", folder=tmp_path)
        assert signed.code == 0, signed.text
        service.account.add(CREDENTIAL)
        changed = kspsign(*given, "--replace", "--store", tmp_path / "store", folder=tmp_path)
    assert (changed.code, changed.report["error"]["code"]) == (5, "KEY_STORE_CHANGED"), changed.text


@pytest.mark.parametrize(("otp", "several"), [(False, True), (False, False), (True, False)])
def test_what_a_credential_says_of_its_authorisations(
    otp: bool, several: bool, service: ESigner, tmp_path: Path
) -> None:
    service.account.only.otp, service.account.only.multisign = otp, several
    files = 3 if not otp else 1
    fill(tmp_path, files)
    run = run_in(service, tmp_path, environment={} if otp else {"ESIGNER_TOTP_SECRET": ""})
    assert run.code == 0, run.text
    assert service.account.authorized == ([files] if several else [1] * files)
    assert ("two a minute" in run.text) is (otp and not several)


def test_a_run_records_its_window_and_one_that_may_not_sign_uses_none(service: ESigner, tmp_path: Path) -> None:
    """The record by which runs of one machine take turns (tests/unit/keys/test_esigner_totp.py) has the service's time;
    a run whose limit is used up neither waits for the next one nor spends a password."""
    fill(tmp_path, 1)
    first = run_in(service, tmp_path)
    assert first.code == 0, first.text
    started = time.monotonic()
    second = run_in(service, tmp_path, "--replace", "--max-signatures", "0")
    assert (second.code, len(service.account.windows)) == (6, 1), second.text
    (record,) = (tmp_path / "store" / "esigner").glob("*.window")
    assert int(record.read_text()) == service.account.windows[0]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("ahead", [-3600.0, 7200.0])
def test_passwords_go_by_the_service_s_clock(ahead: float, service: ESigner, tmp_path: Path) -> None:
    service.account.ahead = ahead
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert (run.code, service.account.refused_otps) == (0, 0), run.text


def test_a_token_that_has_ended_is_replaced(service: ESigner, tmp_path: Path) -> None:
    service.account.life = 0
    service.account.token = _living(service)  # type: ignore[method-assign]  # of this stand-in
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert run.code == 0, run.text
    assert service.account.logins > 1


def _living(service: ESigner) -> Callable[[], str]:
    """Tokens that say that they have ended at once, and are good for two requests."""
    made = service.account.token

    def token() -> str:
        text = made()
        service.account.tokens[text] = time.monotonic() + 60
        return text

    return token


def test_malware_scan_has_every_file_by_its_content(service: ESigner, tmp_path: Path) -> None:
    service.account.only.scan = True
    held = fill(tmp_path, 3)
    run = run_in(service, tmp_path)
    assert run.code == 0, run.text
    wanted = {base64.b64encode(hashlib.sha256(content).digest()).decode() for content in held.values()}
    assert set(service.account.scanned.values()) == wanted
    assert len(service.of("/scan/hash")) == 3
    assert service.account.authorized == [3]


def test_a_file_with_malware_is_not_signed_and_the_others_are(service: ESigner, tmp_path: Path) -> None:
    service.account.only.scan = True
    bad = fill(tmp_path, 3)["01.dll"]
    service.account.malware.add(base64.b64encode(hashlib.sha256(bad).digest()).decode())
    run = run_in(service, tmp_path)
    assert run.code == 1, run.text
    errors = {file["path"]: file["error"] and file["error"]["code"] for file in run.report["files"]}
    assert errors == {"00.dll": None, "01.dll": "ESIGNER_MALWARE", "02.dll": None}
    assert len(service.account.signed) == run.report["totals"]["signatures_used"] == 2


def test_without_malware_scan_no_file_is_named(service: ESigner, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    assert run_in(service, tmp_path).code == 0
    assert service.of("/scan/hash") == []


WRONG: dict[str, tuple[Mapping[str, str], str, str]] = {
    "no user": ({"ESIGNER_USERNAME": ""}, "ESIGNER_CREDENTIALS", "needs ESIGNER_USERNAME"),
    "no password": ({"ESIGNER_PASSWORD": ""}, "ESIGNER_CREDENTIALS", "needs ESIGNER_PASSWORD"),
    "no TOTP secret": ({"ESIGNER_TOTP_SECRET": ""}, "ESIGNER_CREDENTIALS", "ESIGNER_TOTP_SECRET is not set"),
    "a password in its place": ({"ESIGNER_TOTP_SECRET": "123456"}, "ESIGNER_TOTP_SECRET", "is a one-time password"),
    "too short": ({"ESIGNER_TOTP_SECRET": "QUJDREVG"}, "ESIGNER_TOTP_SECRET", "is not the secret"),
    "not base64": ({"ESIGNER_TOTP_SECRET": "planted secret %%"}, "ESIGNER_TOTP_SECRET", "is not the secret"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_missing_is_named_before_a_password_is_used(name: str, service: ESigner, tmp_path: Path) -> None:
    environment, code, words = WRONG[name]
    fill(tmp_path, 1)
    run = run_in(service, tmp_path, environment=environment)
    assert (run.code, run.report["error"]["code"], words in run.text) == (3, code, True), run.text
    assert "planted" not in run.text
    assert service.account.windows == []


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "disabled": ({"status": "disabled"}, "ESIGNER_DISABLED"),
    "PIN": ({"pin": True}, "ESIGNER_PIN"),
    "OTP by text message": ({"otp_type": "online"}, "ESIGNER_OTP_TYPE"),
    "unknown algorithm": ({"algorithms": ("1.2.3.4",)}, "UNSUPPORTED_KEY"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_credential_that_can_t_sign_is_refused_before_a_password_is_used(
    name: str, service: ESigner, tmp_path: Path
) -> None:
    ways, code = UNFIT[name]
    for way, value in ways.items():
        setattr(service.account.only, way, value)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, code), run.text
    assert service.account.windows == []


def test_an_expired_certificate_signs_nothing(service: ESigner, tmp_path: Path) -> None:
    service.account.add(CREDENTIAL, end=NOW)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, "CERTIFICATE_NOT_VALID"), run.text


def test_an_account_without_a_credential(service: ESigner, tmp_path: Path) -> None:
    service.account.credentials.clear()
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"], "no credential" in run.text) == (5, "ESIGNER_CREDENTIAL", True)
