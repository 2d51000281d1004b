"""Vault's transit engine as key store: outcome, signatures and journal for everything that Vault may answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.azure_devops.server import TOKEN as PIPELINE_TOKEN
from support.azure_devops.server import AzureServer
from support.azure_devops.uploads import JOB_ID
from support.key_vault.world import CONNECTION
from support.pki import new_key
from support.samples import Run, assert_found_in_log, kspsign, osslsigncode_verify
from support.service_faults import (
    AT_ONCE,
    Case,
    Set,
    answering,
    check_outcome,
    environment_of,
    fill,
    ways_of,
)
from support.service_faults import PAGE as HTML
from support.vault_transit.answers import VaultRequest, VaultResponse, respond, right, wrong
from support.vault_transit.server import TransitServer
from support.vault_transit.world import JWT, NOW, ROLE_ID, SECRET_ID, TOKEN, HeldToken, VaultWorld

PAGE = VaultResponse(200, HTML, {"Content-Type": "text/html"})
having = ways_of("world")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[TransitServer]:
    (tmp_path / "vault").mkdir()
    with TransitServer(VaultWorld(), tmp_path / "vault") as running:
        yield running


def signs(request: VaultRequest) -> bool:
    return "/sign/" in request.path


def reads(request: VaultRequest) -> bool:
    return "/keys/" in request.path


def another_key(vault: TransitServer) -> None:
    """The certificate that is set is of another key."""
    vault.world.versions[1].key, vault.world.versions[1].chain = vault.world.versions[1].key, [
        VaultWorld(root=vault.world.root).issued(1), vault.world.root,
    ]  # fmt: skip


def too_old(vault: TransitServer) -> None:
    vault.world.rotate()
    vault.world.lowest = 2


def expired(vault: TransitServer) -> None:
    vault.world.certify(1, end=NOW - timedelta(days=2))


def curve(vault: TransitServer) -> None:
    vault.world.kind, vault.world.versions = "ecdsa-p256", {}
    vault.world.rotate(new_key())
    vault.world.certify(1)


def garbled(text: Any) -> Set:
    return answering(signs, right(data={"signature": text}))


MAY = "SIGNATURE_MAY_BE_SPENT"
CASES: dict[str, Case] = {
    "an EC key": Case(curve, 0, spent=1),
    "a node that lags behind": Case(answering(signs, VaultResponse(412, {"errors": []}, AT_ONCE), 2), 0, spent=1),
    "standby for a moment": Case(answering(signs, VaultResponse(473, {"errors": []}, AT_ONCE), 1), 0, spent=1),
    "the key can't be read at first": Case(answering(reads, VaultResponse(503, {}, AT_ONCE), 2), 0, spent=1),
    "busy for ever": Case(answering(signs, VaultResponse(429, {"errors": []}, AT_ONCE)), 6, "VAULT_THROTTLED"),
    "sealed while it signs": Case(
        answering(signs, VaultResponse(503, {"errors": ["Vault is sealed"]}, {"Retry-After": "3600"})),
        6,
        "VAULT_UNAVAILABLE",
        words=("Vault is sealed",),
    ),
    "a gateway answers": Case(answering(signs, VaultResponse(502, PAGE.content)), 6, MAY, used=1, words=("HTTP 502",)),
    "may not sign": Case(having(rights=frozenset()), 6, "VAULT_FORBIDDEN", words=("permission denied",)),
    "refused by a page": Case(
        answering(signs, VaultResponse(403, b"<html><h1>Blocked</h1> by policy</html>")),
        6,
        "VAULT_FORBIDDEN",
        words=("Blocked by policy",),
    ),
    "refused": Case(
        answering(signs, wrong(400, "1 error occurred:\n\t* invalid request\n\n")),
        6,
        "VAULT_REFUSED",
        words=("invalid request",),
    ),
    "a fault of its own": Case(answering(signs, wrong(500, "internal error")), 6, "VAULT_UNAVAILABLE"),
    "redirected": Case(
        answering(signs, VaultResponse(307, b"", {"Location": "https://elsewhere.example/v1/x"})),
        6,
        "VAULT_ANSWER",
        words=("elsewhere.example",),
    ),
    "another version": Case(having(wrong_version=True), 6, "VAULT_ANSWER", spent=1, words=("version 2",)),
    "no signature": Case(garbled(None), 6, MAY, used=1),
    "no base64": Case(garbled("vault:v1:QUJ"), 6, MAY, used=1),
    "bits turned": Case(garbled("vault:v1:" + "QUJD" * 64), 6, "KEY_MISMATCH", used=1),
    "a page in the place of the key": Case(answering(reads, PAGE), 5, "VAULT_ANSWER"),
    "a wrapped key": Case(
        answering(reads, right(wrap_info={"token": "hvs.w"})), 5, "VAULT_ANSWER", words=("response wrapping",)
    ),
    "no such key": Case(answering(reads, wrong(404)), 5, "VAULT_NOT_FOUND"),
    "a key that can't sign": Case(having(kind="aes256-gcm96"), 5, "UNSUPPORTED_KEY"),
    "a soft-deleted key": Case(having(soft_deleted=True), 5, "VAULT_KEY_DISABLED"),
    "a certificate of another key": Case(another_key, 5, "VAULT_NO_CERTIFICATE"),
    "a version that Vault does not sign with": Case(too_old, 5, "VAULT_NO_CERTIFICATE"),
    "an expired certificate": Case(expired, 5, "CERTIFICATE_NOT_VALID"),
    "sealed": Case(
        answering(lambda _request: True, VaultResponse(503, {"errors": ["Vault is sealed"]}, AT_ONCE)),
        5,
        "VAULT_UNAVAILABLE",
        words=("Vault is sealed",),
    ),
    "a token that is not known": Case(having(tokens={}), 5, "VAULT_FORBIDDEN", words=("invalid token",)),
}


def run_in(vault: TransitServer, folder: Path, *more: object, environment: dict[str, str] | None = None) -> Run:
    with environment_of(vault.environment if environment is None else environment):
        return kspsign(
            *("run", "*.dll", "--folder", folder, *vault.options, *vault.trust, "--no-timestamp"),
            *("--store", folder / "store", *more),
            folder=folder,
        )


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, vault: TransitServer, tmp_path: Path) -> None:
    case = CASES[name]
    before = fill(tmp_path, case.files)
    if name == "may not sign":
        vault.world.tokens[TOKEN] = HeldToken(rights=frozenset({"read", "lookup"}))
    case.set_up(vault)
    run = run_in(vault, tmp_path, "--verbose")
    check_outcome(case, run, tmp_path, before, len(vault.world.spent))
    assert [*(tmp_path / "store").rglob("*.journal")] == []
    if not case.code:
        assert osslsigncode_verify(tmp_path / "00.dll", vault.folder / "root.pem").accepted
        assert_found_in_log(run, vault.world.audited)
        assert {number for number, _digest in vault.world.spent} == {1}
    assert TOKEN not in run.text


SIGN_INS: dict[str, tuple[tuple[str, ...], dict[str, str], list[str]]] = {
    "approle": (("--vault-role", ROLE_ID), {"VAULT_SECRET_ID": SECRET_ID}, ["approle"]),
    "jwt": (("--vault-role", "ci"), {"VAULT_JWT": JWT}, ["jwt"]),
    "kubernetes": (
        ("--vault-auth", "kubernetes", "--vault-role", "ci", "--vault-token-file", "service-account"),
        {},
        ["kubernetes"],
    ),
    "token file": (("--vault-token-file", "token"), {}, []),
}


@pytest.mark.parametrize("name", SIGN_INS)
def test_each_sign_in_signs_and_a_stale_one_is_refused(
    name: str, vault: TransitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, environment, used = SIGN_INS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service-account").write_text(JWT + "\n", encoding="ascii")
    (tmp_path / "token").write_text(TOKEN + "\r\n", encoding="ascii")
    fill(tmp_path)
    run = run_in(vault, tmp_path, *options, environment=environment)
    assert (run.code, vault.world.used, len(vault.world.spent)) == (0, used, 1), run.text
    for secret in (JWT, SECRET_ID, TOKEN, *vault.world.tokens):
        assert secret not in run.text
    fill(tmp_path)
    (tmp_path / "service-account").write_text("stale\n", encoding="ascii")
    (tmp_path / "token").write_text("stale\n", encoding="ascii")
    run = run_in(vault, tmp_path, *options, environment=dict.fromkeys(environment, "stale"))
    code = "VAULT_FORBIDDEN" if name == "token file" else "VAULT_SIGN_IN"
    assert (run.code, run.report["error"]["code"], len(vault.world.spent)) == (5, code, 1), run.text


@pytest.mark.parametrize(("connection", "code"), [(CONNECTION, 0), ("5d4c9a10-0000-4000-8000-000000000000", 5)])
def test_the_token_of_a_service_connection_signs_in(
    connection: str, code: int, vault: TransitServer, tmp_path: Path
) -> None:
    fill(tmp_path)
    with AzureServer() as devops:
        devops.organisation.connections.add(CONNECTION)
        devops.organisation.oidc_tokens = vault.world.jwts
        place = f"Apps/_apis/distributedtask/hubs/build/plans/7/jobs/{JOB_ID}/oidctoken"
        environment = {"SYSTEM_OIDCREQUESTURI": f"{devops.url}/{place}", "SYSTEM_ACCESSTOKEN": PIPELINE_TOKEN}
        by = ("--vault-role", "ci", "--azure-connection-id", connection)
        run = run_in(vault, tmp_path, *by, environment={**environment, "no_proxy": "localhost,127.0.0.1"})
    assert (run.code, vault.world.used) == (code, [] if code else ["jwt"]), run.text
    if code:
        assert run.report["error"]["code"] == "OIDC_TOKEN"
    assert not any(token in run.text for token in (PIPELINE_TOKEN, *vault.world.jwts))


def test_a_wrapped_login_is_refused(vault: TransitServer, tmp_path: Path) -> None:
    vault.world.wrapped = True
    fill(tmp_path)
    run = run_in(vault, tmp_path, "--vault-role", "ci", environment={"VAULT_JWT": JWT})
    assert (run.code, "response wrapping" in run.text) == (5, True), run.text


def test_a_login_that_ends_is_repeated_and_a_given_token_renewed(vault: TransitServer, tmp_path: Path) -> None:
    vault.world.ttl = 1
    fill(tmp_path, 3)

    def slow(request: VaultRequest) -> VaultResponse | None:
        if signs(request):
            time.sleep(0.4)
        return None

    vault.interfere = slow
    run = run_in(vault, tmp_path, "--vault-role", "ci", "--jobs", "1", environment={"VAULT_JWT": JWT})
    assert (run.code, len(vault.world.spent)) == (0, 3), run.text
    assert vault.world.used.count("jwt") > 1
    vault.world.tokens[TOKEN] = HeldToken(time.monotonic() + 5, renewable=True, ttl=5)
    fill(tmp_path, 13)
    run = run_in(vault, tmp_path, "--jobs", "1")
    assert (run.code, "renew" in vault.world.used) == (0, True), run.text


def test_the_certificate_is_from_a_file_and_its_version_is_pinned(vault: TransitServer, tmp_path: Path) -> None:
    leaf = vault.world.issued(1)
    vault.world.versions[1].chain = []
    vault.world.rotate()
    file = tmp_path / "code.pem"
    file.write_bytes(leaf.pem + vault.world.root.pem)
    fill(tmp_path)
    run = run_in(vault, tmp_path, "--certificate", file)
    assert (run.code, [number for number, _digest in vault.world.spent]) == (0, [1]), run.text
    refused = run_in(vault, tmp_path, "--certificate", file, "--vault-key-version", "2", "--replace")
    assert (refused.code, refused.report["error"]["code"]) == (5, "KEY_MISMATCH"), refused.text
    vault.world.lowest = 2
    refused = run_in(vault, tmp_path, "--certificate", file, "--replace")
    assert (refused.code, refused.report["error"]["code"]) == (5, "VAULT_KEY_VERSION"), refused.text
    strange = VaultWorld(root=vault.world.root)
    file.write_bytes(strange.issued(1).pem)
    refused = run_in(vault, tmp_path, "--certificate", file, "--replace")
    assert (refused.code, refused.report["error"]["code"]) == (5, "KEY_MISMATCH"), refused.text
    assert len(vault.world.spent) == 1


def test_a_renewed_certificate_is_picked_and_a_named_version_stays(vault: TransitServer, tmp_path: Path) -> None:
    number = vault.world.rotate()
    vault.world.certify(number, begin=NOW - timedelta(days=1))
    fill(tmp_path)
    run = run_in(vault, tmp_path)
    assert (run.code, vault.world.spent[-1][0]) == (0, 2), run.text
    assert "the newest valid one is used" in run.text
    fill(tmp_path)
    run = run_in(vault, tmp_path, "--vault-key-version", "1", "--replace")
    assert (run.code, vault.world.spent[-1][0]) == (0, 1), run.text
    assert "CERTIFICATE_SUPERSEDED" in run.text


def test_by_thumbprint_alone_the_same_version_signs_after_a_rotation(vault: TransitServer, tmp_path: Path) -> None:
    vault.world.namespace, vault.world.mount = "team/apps", "signing/transit"
    given = ("--vault-namespace", "team/apps", "--vault-mount", "signing/transit", "--store", tmp_path / "store")
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "certsync", *map(str, (*vault.options, *given))],
        cwd=tmp_path, env={**os.environ, **vault.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = (tmp_path / "store").rglob("entry.json")
    assert TOKEN not in entry.read_text(encoding="utf-8")
    vault.world.certify(vault.world.rotate(), begin=NOW - timedelta(days=1))
    fill(tmp_path)
    thumbprint = json.loads(entry.read_text(encoding="utf-8"))["thumbprint"]
    with environment_of(vault.environment):
        run = kspsign(
            *("sign", "*.dll", "--folder", tmp_path, "--thumbprint", thumbprint, "--store", tmp_path / "store"),
            *(*vault.trust, "--ca-file", vault.ca_file, "--no-timestamp"),
            folder=tmp_path,
        )
    assert (run.code, [number for number, _digest in vault.world.spent]) == (0, [1]), run.text


REFUSED = {
    "no address": (("--vault-address", ""), "--vault-address"),
    "plain http": (("--vault-address", "http://vault.example:8200"), "not encrypted"),
    "not a URL": (("--vault-address", "vault.example"), "is not the URL"),
    "no key": (("--keypair-alias", "../sys"), "is not a path"),
    "a mount that leads out": (("--vault-mount", "transit/../sys"), "is not a path"),
    "no role": (("--vault-auth", "approle"), "--vault-role"),
    "a namespace that no header carries": (("--vault-namespace", "\u4e2d"), "X-Vault-Namespace"),
    "no secret id": (("--vault-auth", "approle", "--vault-role", "x"), "VAULT_SECRET_ID"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_options_are_refused_before_anybody_is_asked(name: str, vault: TransitServer, tmp_path: Path) -> None:
    options, words = REFUSED[name]
    fill(tmp_path)
    run = run_in(vault, tmp_path, *options)
    assert (run.code, words in run.text) == (3, True), run.text
    assert vault.requests == []


def test_a_token_on_several_lines_is_refused_and_not_shown(vault: TransitServer, tmp_path: Path) -> None:
    fill(tmp_path)
    run = run_in(vault, tmp_path, environment={**vault.environment, "VAULT_TOKEN": "hvs.planted\ntoken"})
    assert (run.code, "VAULT_TOKEN is not one token" in run.text, "planted" in run.text) == (3, True, False), run.text
    assert vault.requests == []


def test_the_stand_in_refuses_what_vault_refuses(vault: TransitServer) -> None:
    """Twins of what the tests above rely on."""
    headers = {"x-vault-token": TOKEN}
    asked = VaultRequest("POST", "transit/sign/release/sha2-256", headers, b'{"input": "AAAA", "prehashed": true}')
    assert respond(vault.world, asked).status == 400
    assert respond(vault.world, VaultRequest("GET", "transit/keys/other", headers, b"")).status == 404
    assert respond(vault.world, VaultRequest("GET", "other/keys/release", headers, b"")).status == 404
    assert respond(vault.world, VaultRequest("GET", "transit/keys/release", {}, b"")).status == 403
