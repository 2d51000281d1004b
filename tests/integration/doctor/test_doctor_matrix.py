"""What the doctor says of each key store in each situation: the line, its words, the exit code; and no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.table import STORES
from support.doctor import local, services
from support.doctor.run import SITUATIONS, Examined, Given, doctor
from support.key_command.world import PIN as PROGRAM_PIN
from support.softhsm import PIN
from support.vault_transit.world import TOKEN


@dataclass(frozen=True)
class Seen:
    """The line that tells of the situation, and the exit code."""

    code: int
    name: str
    state: str
    words: str


READY, REFUSED, NOT = 0, 3, 5
EXPECTED: dict[str, dict[str, Seen | str]] = {
    "embedded": {
        "nothing set": Seen(READY, "key", "not checked", "first run creates"),
        "macro": "it has no options and no secret of its own",
        "wrong secret": "it has no secret",
        "wrong alias": "it has one key",
        "disabled": "its key can't be disabled",
        "expired": Seen(NOT, "certificate", "failed", "expired"),
        "no permission": "the key is this user's own",
        "no network": "it is on this machine",
        "private CA": "its root is trusted for test signing",
        "near expiry": Seen(READY, "certificate", "warning", "valid for 9 days"),
        "superseded": "it makes one certificate",
        "all well": Seen(READY, "test signature", "ok", "the key signs"),
    },
    "pkcs12": {
        "nothing set": Seen(REFUSED, "settings", "failed", "--pkcs12 FILE is missing"),
        "macro": Seen(NOT, "variable", "failed", "P12_PASSWORD holds the text $(P12_PASSWORD)"),
        "wrong secret": Seen(NOT, "credentials", "failed", "its password is wrong"),
        "wrong alias": Seen(NOT, "credentials", "failed", "other.p12 can't be read"),
        "disabled": "a file can't be disabled",
        "expired": Seen(NOT, "certificate", "failed", "expired on"),
        "no permission": Seen(NOT, "credentials", "failed", "can't be read"),
        "no network": "it is on this machine",
        "private CA": Seen(NOT, "certificate chain", "failed", "--trust-root"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "certificate chain", "ok", "In-house publisher < In-house root"),
    },
    "keylocker": {
        "nothing set": Seen(NOT, "credentials", "failed", "SM_API_KEY"),
        "macro": Seen(NOT, "variable", "failed", "SM_API_KEY holds the text $(SM_API_KEY)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "invalid_api_key"),
        "wrong alias": Seen(NOT, "key", "failed", "Did you mean Release"),
        "disabled": Seen(NOT, "key", "failed", "is OFFLINE"),
        "expired": Seen(NOT, "certificate", "failed", "expired"),
        "no permission": Seen(NOT, "permission", "failed", "may not sign"),
        "no network": Seen(NOT, "host", "failed", "connection refused"),
        "private CA": Seen(NOT, "host", "failed", "SM_CA_FILE"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "permission", "ok", "this user may sign"),
    },
    "azure-key-vault": {
        "nothing set": Seen(NOT, "options", "failed", "--key-identifier"),
        "macro": Seen(NOT, "variable", "failed", "AZURE_CLIENT_SECRET holds the text $(AZURE_CLIENT_SECRET)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "AADSTS7000215"),
        "wrong alias": Seen(NOT, "key", "failed", "relaese was not found"),
        "disabled": Seen(NOT, "key", "failed", "disabled"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "Key Vault Certificate User"),
        "no network": Seen(NOT, "host", "failed", "can't be reached"),
        "private CA": Seen(NOT, "host", "failed", "CA"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "key", "ok", "enabled, may sign"),
    },
    "azure-artifact-signing": {
        "nothing set": Seen(NOT, "options", "failed", "--signing-endpoint"),
        "macro": Seen(NOT, "variable", "failed", "AZURE_CLIENT_SECRET holds the text $(AZURE_CLIENT_SECRET)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "AADSTS7000215"),
        "wrong alias": Seen(NOT, "key", "failed", "capitals included"),
        "disabled": "a profile that is not Active answers as a missing role does",
        "expired": "the service renews the certificate every day",
        "no permission": Seen(NOT, "permission", "failed", "Certificate Profile Signer"),
        "no network": Seen(NOT, "sign-in", "failed", "can't be reached"),
        "private CA": Seen(NOT, "sign-in", "failed", "--ca-file"),
        "near expiry": "three days are as it should be",
        "superseded": "the service signs with the newest",
        "all well": Seen(READY, "key", "ok", "profile contoso-signing/release"),
    },
    "aws-kms": {
        "nothing set": Seen(NOT, "options", "failed", "--certificate"),
        "macro": Seen(NOT, "variable", "failed", "AWS_SECRET_ACCESS_KEY holds the text $(AWS_SECRET_ACCESS_KEY)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "InvalidSignatureException"),
        "wrong alias": Seen(NOT, "key", "failed", "alias/relaese is not found"),
        "disabled": Seen(NOT, "key", "failed", "is disabled"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "not authorized to perform: kms:Sign"),
        "no network": Seen(NOT, "host", "failed", "the proxy can't be reached"),
        "private CA": Seen(NOT, "host", "failed", "--ca-file"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "permission", "ok", "this identity may sign"),
    },
    "google-cloud-kms": {
        "nothing set": Seen(NOT, "options", "failed", "--certificate"),
        "macro": Seen(
            NOT, "variable", "failed", "GOOGLE_APPLICATION_CREDENTIALS holds the text $(google.secureFilePath)"
        ),
        "wrong secret": Seen(NOT, "sign-in", "failed", "Invalid JWT Signature"),
        "wrong alias": Seen(NOT, "key", "failed", "not found"),
        "disabled": Seen(NOT, "key", "failed", "has no enabled version"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "cloudkms.cryptoKeyVersions.viewPublicKey"),
        "no network": Seen(NOT, "host", "failed", "the proxy can't be reached"),
        "private CA": Seen(NOT, "host", "failed", "--ca-file"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "key", "ok", "RSA_SIGN_PKCS1_3072_SHA256, HSM, signs"),
    },
    "pkcs11": {
        "nothing set": Seen(NOT, "options", "failed", "--pkcs11-module"),
        "macro": Seen(NOT, "variable", "failed", "TEST_TOKEN_PIN holds the text $(TOKEN_PIN)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "CKR_PIN_INCORRECT"),
        "wrong alias": Seen(NOT, "key", "failed", "Did you mean release"),
        "disabled": Seen(NOT, "token", "failed", "available: none"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "CKA_SIGN is false"),
        "no network": Seen(NOT, "module", "failed", "does not exist"),
        "private CA": Seen(NOT, "certificate chain", "failed", "--trust-root"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "ok", "the newest valid one is used"),
        "all well": Seen(READY, "permission", "ok", "CKA_SIGN"),
    },
    "vault": {
        "nothing set": Seen(NOT, "options", "failed", "--vault-address"),
        "macro": Seen(NOT, "variable", "failed", "VAULT_TOKEN holds the text $(VAULT_TOKEN)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "invalid token"),
        "wrong alias": Seen(NOT, "key", "failed", "case matters"),
        "disabled": Seen(NOT, "key", "failed", "soft-deleted"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "MOUNT/sign/NAME"),
        "no network": Seen(NOT, "host", "failed", "connection refused"),
        "private CA": Seen(NOT, "host", "failed", "--ca-file"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "key", "ok", "transit/release, version 1: RSA 2048 bits"),
    },
    "command": {
        "nothing set": Seen(NOT, "options", "failed", "--key-command"),
        "macro": Seen(NOT, "variable", "failed", "HSM_PIN holds the text $(HSM_PIN)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "the PIN is wrong"),
        "wrong alias": Seen(NOT, "key", "failed", "no key Release"),
        "disabled": Seen(NOT, "key", "failed", "the slot is locked"),
        "expired": Seen(NOT, "certificate", "failed", "expired on"),
        "no permission": Seen(NOT, "permission", "failed", "may not sign"),
        "no network": Seen(NOT, "host", "failed", "hsm.example did not answer"),
        "private CA": Seen(NOT, "certificate chain", "failed", "--trust-root"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": "the program chooses the certificate",
        "all well": Seen(READY, "test signature", "ok", "the certificate verifies each"),
    },
    "signserver": {
        "nothing set": Seen(NOT, "options", "failed", "--certificate"),
        "macro": Seen(NOT, "variable", "failed", "SIGNSERVER_PASSWORD holds the text $(SIGNSERVER_PASSWORD)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "Authentication denied"),
        "wrong alias": Seen(NOT, "key", "failed", "No such worker: codesigner"),
        "disabled": Seen(NOT, "key", "failed", "is disabled"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": Seen(NOT, "permission", "failed", "Client is not authorized"),
        "no network": Seen(NOT, "host", "failed", "connection refused"),
        "private CA": Seen(NOT, "host", "failed", "--ca-file"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": Seen(READY, "newer certificate", "warning", "superseded by"),
        "all well": Seen(READY, "host", "ok", "it is healthy"),
    },
    "esigner": {
        "nothing set": Seen(NOT, "credentials", "failed", "ESIGNER_USERNAME and ESIGNER_PASSWORD"),
        "macro": Seen(NOT, "variable", "failed", "ESIGNER_TOTP_SECRET holds the text $(ESIGNER_TOTP_SECRET)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "authorization grant is invalid"),
        "wrong alias": Seen(NOT, "key", "failed", "did you mean"),
        "disabled": Seen(NOT, "key", "failed", "is disabled"),
        "expired": Seen(NOT, "certificate", "failed", "valid now"),
        "no permission": "the service says so to an authorisation alone, which takes a one-time password",
        "no network": Seen(NOT, "host", "failed", "the proxy can't be reached"),
        "private CA": Seen(NOT, "host", "failed", "--ca-file"),
        "near expiry": Seen(READY, "certificate", "warning", "valid for 11 days"),
        "superseded": "a credential has one certificate",
        "all well": Seen(READY, "key", "ok", "many hashes with one authorisation"),
    },
    # Off Windows none is ready: the first line says so, and the others say what can be seen here.
    "windows": {
        "nothing set": Seen(NOT, "credentials", "failed", "SM_API_KEY is not set"),
        "macro": Seen(NOT, "variable", "failed", "SM_API_KEY holds the text $(SM_API_KEY)"),
        "wrong secret": Seen(NOT, "sign-in", "failed", "not connected"),
        "wrong alias": Seen(NOT, "key", "failed", "Did you mean Release"),
        "disabled": Seen(NOT, "key", "failed", "is OFFLINE"),
        "expired": Seen(NOT, "certificate", "failed", "expired on"),
        "no permission": Seen(NOT, "permission", "failed", "may not sign"),
        "no network": Seen(NOT, "sign-in", "failed", "proxy goes in HTTPS_PROXY"),
        "private CA": Seen(NOT, "certificate chain", "failed", "--trust-root"),
        "near expiry": Seen(NOT, "certificate", "warning", "valid for 11 days"),
        "superseded": "the Windows certificate store has them: tests/windows_lab/test_lab_doctor.py",
        "all well": Seen(NOT, "permission", "ok", "this user may sign"),
    },
}
SECRETS = (local.SECRET, PIN, PROGRAM_PIN, TOKEN, "01_stale", "0000-stale")


def test_the_matrix_has_every_key_store_and_situation() -> None:
    assert set(EXPECTED) == set(STORES.entries)
    assert all(tuple(situations) == SITUATIONS for situations in EXPECTED.values())


@contextlib.contextmanager
def examined(store: str, situation: str, folder: Path, authority: EmbeddedAuthority) -> Iterator[Examined]:
    """What the doctor says, and that it asked for no signature."""
    given: Given
    with contextlib.ExitStack() as ended:
        asked: list[str] = []
        without: tuple[str, ...] = ("--no-timestamp",)
        if store == "azure-artifact-signing":  # whose signatures are worth nothing without
            (folder / "azure").mkdir()
            arranged = ended.enter_context(services.artifact_signing(folder, situation, authority))
            given, asked, without = arranged.given, arranged.asked, ()
        elif store in services.BY_STORE:
            arranged = ended.enter_context(services.BY_STORE[store](folder, situation))
            given, asked = arranged.given, arranged.asked
        else:
            given = local.arranged(store, folder, situation, authority)
        yield doctor(Given((*given.arguments, *without), given.environment), folder)
    assert asked == []


@pytest.mark.parametrize(
    ("store", "situation", "seen"),
    [
        pytest.param(store, situation, seen, id=f"{store}: {situation}")
        for store, situations in EXPECTED.items()
        for situation, seen in situations.items()
        if isinstance(seen, Seen)
    ],
)
def test_the_line_and_the_exit_code(
    store: str, situation: str, seen: Seen, tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    with examined(store, situation, tmp_path, authority) as found:
        assert seen.words in found.said(seen.name, seen.state), found.text
        assert found.code == seen.code, found.text
        for check in found.checks:
            assert check["detail"]
            assert bool(check["remedy"]) == (check["state"] in {"failed", "warning"}), check
            assert bool(check["code"]) == (check["state"] == "failed"), check
        assert not any(secret in found.text for secret in SECRETS)
        failed = {check["name"] for check in found.checks if check["state"] == "failed"} - {"windows", "signtool"}
        if seen.state != "failed":
            assert failed == set()
        elif situation not in {"nothing set", "no network"}:
            assert failed == {seen.name}, found.text
