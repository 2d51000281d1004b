"""A run of two files opens its key store, signs in, looks up and reads each target once."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support import softhsm
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.digicert_one.fixture import running
from support.formats.peimages import build_pe
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, Version, World
from support.pki import ca, signer
from support.samples import kspsign_process
from support.watched import Watched, kspsign_watched

NOW = datetime.now(UTC)
BEGIN, END = NOW - timedelta(days=10), NOW + timedelta(days=300)
VAULT = "unit-tests.vault.azure.net"
OPENED = (
    *("to detect its format", "to read its structure and look for a bundle in it"),
    *("to lock it", "to hash it", "to copy it"),
)
"""What a target is opened for."""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Two images that differ."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.dll").write_bytes(build_pe(overlay=name.encode()))
    return folder


def watched(dist: Path, *options: object, **environment: str) -> Watched:
    record = dist.parent / "record"
    record.unlink(missing_ok=True)
    run = kspsign_watched(
        *("run", "*.dll", "--store", dist.parent / "store", *options),
        folder=dist,
        record=record,
        environment=environment,
    )
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == 2
    return run


def assert_read_once(run: Watched, dist: Path) -> None:
    """Each target was opened once for each of its steps."""
    assert [run.opened[str(dist / name)] for name in ("a.dll", "b.dll")] == [len(OPENED)] * 2


def test_a_pkcs12_file_is_read_and_decrypted_once(dist: Path, tmp_path: Path) -> None:
    file = signing_file(tmp_path)
    run = watched(dist, *file.options, "--no-timestamp", **{PASSWORD_VARIABLE: PASSWORD})
    assert run.opened[str(file.path)] == 1
    assert_read_once(run, dist)


def test_by_thumbprint_alone_the_file_is_read_once_too(dist: Path, tmp_path: Path) -> None:
    file = signing_file(tmp_path)
    first = watched(dist, *file.options, "--no-timestamp", **{PASSWORD_VARIABLE: PASSWORD})
    known = ("--thumbprint", first.report["certificate"]["thumbprint"], "--password-env", PASSWORD_VARIABLE)
    more = ("--store", file.path.parent / "store", "--trust-root", file.root, "--no-timestamp", "--replace")
    again = watched(dist, *known, *more, **{PASSWORD_VARIABLE: PASSWORD})
    assert again.opened[str(file.path)] == 1


def test_the_keys_of_test_signing_are_read_once_for_signatures_and_timestamps(dist: Path, tmp_path: Path) -> None:
    watched(dist, "--key-store", "embedded")
    run = watched(dist, "--key-store", "embedded", "--replace")
    keys = {path: count for path, count in run.opened.items() if path.startswith(str(tmp_path / "store" / "embedded"))}
    keys.pop(str(tmp_path / "store" / "embedded"), None)
    assert len(keys) == 8
    assert set(keys.values()) == {1}
    assert all(file["signatures"][0]["timestamp"] for file in run.report["files"])


def test_a_token_is_opened_and_logged_in_to_once(dist: Path, tmp_path: Path) -> None:
    token, root, key = softhsm.create(tmp_path / "hsm"), ca("Root", begin=BEGIN, end=END), rsa_key(2048)
    token.import_key(key, "key", "01")
    token.import_certificate(signer("Publisher", root, key=key, begin=BEGIN, end=END), "key", "01")
    (tmp_path / "root.pem").write_bytes(root.pem)
    record = tmp_path / "calls.txt"
    run = watched(
        dist,
        *(*token.options("key", softhsm.SPY), "--no-timestamp", "--trust-root", tmp_path / "root.pem", "--jobs", 1),
        **token.spied(record),
    )
    calls = Counter(re.findall(r"^\d+: (C_\w+)", record.read_text("latin-1"), re.MULTILINE))
    once = ("C_Initialize", "C_OpenSession", "C_Login", "C_CloseSession", "C_Finalize")
    assert {name: calls[name] for name in once} == dict.fromkeys(once, 1)
    assert calls["C_Sign"] == 2
    assert_read_once(run, dist)


def test_keylocker_is_asked_for_each_record_once(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    with running(tmp_path / "host") as host:
        pair = host.world.add_keypair("release")
        host.world.add_certificate(pair, "code")
        run = watched(
            dist,
            *("--key-store", "keylocker", "--keypair-alias", "release", "--no-timestamp", "--trust-root", host.root),
            **host.environment,
        )
        asked = Counter((request.method, request.path) for request in host.service.record.requests)
        assert host.world.spent == 2
    signing = [what for what in asked if what[0] == "POST"]
    assert [asked.pop(what) for what in signing] == [2]
    assert asked
    assert set(asked.values()) == {1}
    assert_read_once(run, dist)


def test_a_vault_is_signed_in_to_and_asked_once(dist: Path, tmp_path: Path) -> None:
    key, root = rsa_key(2048), ca("Vault root", begin=BEGIN, end=END)
    leaf = signer("Publisher", root, key=key, begin=BEGIN, end=END)
    world = World({VAULT: {"rsa": [Version(key, leaf.certificate, (root.certificate,))]}})
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "azure").mkdir()
    with Azure(world, tmp_path / "azure") as azure:
        run = kspsign_process(
            *("run", "*.dll", "--key-store", "azure-key-vault", "--no-timestamp"),
            *("--trust-root", tmp_path / "root.pem", "--store", tmp_path / "store"),
            *("--key-identifier", f"https://{VAULT}/certificates/rsa"),
            *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT),
            folder=dist,
            environment=azure.environment,
        )
        assert run.code == 0, run.text
        assert len(azure.record.of("microsoftonline.com", "/token")) == 1
        answered = [request for request in azure.record.of(VAULT) if "authorization" in request.headers]
    asked = Counter((request.method, request.path) for request in answered)
    signing = [what for what in asked if what[1].partition("?")[0].endswith("/sign")]
    assert [asked.pop(what) for what in signing] == [2]
    assert asked
    assert set(asked.values()) == {1}
