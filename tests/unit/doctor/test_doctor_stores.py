"""What each key store finds of itself for the doctor: without a signature, and with the remedy for what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from pydantic import SecretStr

from kspsign.keys.examine import examine_store
from kspsign.keys.pkcs12.options import Pkcs12Options
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.table import STORES
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from support import pki
from support.digicert_one.fixture import Host, running
from support.digicert_one.world import DAY, NOW
from support.keylocker import settings


def found(settings: Settings) -> dict[str, Prerequisite]:
    """The findings by name; what is missing has a remedy."""
    assert settings.key_store is not None
    findings = list(examine_store(STORES.find(settings.key_store), settings))
    assert all(finding.remedy for finding in findings if finding.state == "failed")
    return {finding.name: finding for finding in findings}


def states(settings: Settings) -> dict[str, str]:
    return {name: finding.state for name, finding in found(settings).items()}


def test_embedded_makes_no_keys(tmp_path: Path) -> None:
    settings = Settings(key_store="embedded", store=tmp_path)
    assert states(settings)["key"] == states(settings)["certificate"] == "not checked"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "root.pem").write_text("damaged", encoding="utf-8")
    assert (states(settings)["key"], states(settings)["certificate"]) == ("failed", "not checked")


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (3, "warning"), (-3, "failed")])
def test_pkcs12_says_how_long_its_certificate_is_valid(tmp_path: Path, days: int, state: str) -> None:
    issued = pki.signer("publisher", None, end=datetime.now(UTC) + timedelta(days=days))
    file = tmp_path / "key.p12"
    encryption = BestAvailableEncryption(b"right")
    file.write_bytes(pkcs12.serialize_key_and_certificates(None, issued.key, issued.certificate, None, encryption))
    right = Settings(key_store="pkcs12", store_options=Pkcs12Options(pkcs12=file, password=SecretStr("right")))
    assert (states(right)["key"], states(right)["test signature"], states(right)["certificate"]) == ("ok", "ok", state)
    wrong = Settings(key_store="pkcs12", store_options=Pkcs12Options(pkcs12=file, password=SecretStr("wrong")))
    assert set(states(wrong).values()) == {"failed", "not checked"}
    assert states(wrong)["credentials"] == "failed"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code", end=NOW + 90 * DAY)
        yield host


def test_keylocker_looks_up_all_that_a_run_needs_and_spends_nothing(host: Host) -> None:
    before = host.world.spent
    assert states(settings(host, "release")) == {
        "credentials": "ok",
        "client certificate": "ok",
        "host": "ok",
        "sign-in": "ok",
        "key": "ok",
        "permission": "ok",
        "certificate": "ok",
        "newer certificate": "ok",
        "signatures left": "not checked",
        "test signature": "not checked",
    }
    assert host.world.spent == before
    assert host.service.record.of("POST") == []


def test_keylocker_says_what_it_could_not_see(host: Host) -> None:
    missing = states(settings(host, "release", SM_API_KEY=None))
    assert missing["credentials"] == "failed"
    assert set(missing.values()) == {"failed", "not checked"}
    refused = found(settings(host, "release", SM_API_KEY="01_wrong"))
    assert [refused[name].state for name in ("credentials", "host", "sign-in", "key")] == [
        *("ok", "ok", "failed", "not checked"),
    ]
    assert "01_wrong" not in refused["sign-in"].detail
    host.world.certificates[0].status = "REVOKED"
    revoked = states(settings(host, "release"))
    assert (revoked["key"], revoked["certificate"]) == ("ok", "failed")


@pytest.mark.parametrize(("kind", "state"), [("TEST", "warning"), ("PRODUCTION", "ok")])
def test_keylocker_warns_of_a_test_key(host: Host, kind: str, state: str) -> None:
    host.world.keypairs[0].kind = kind
    assert states(settings(host, "release"))["key"] == state


def test_any_status_but_online_is_refused(host: Host) -> None:
    host.world.keypairs[0].status = "SUSPENDED"
    assert "is SUSPENDED" in found(settings(host, "release"))["key"].detail


def test_stores_without_their_options_say_which(tmp_path: Path) -> None:
    for name, option in (("azure-key-vault", "--key-identifier"), ("pkcs11", "--pkcs11-module")):
        given = resolve("doctor", {"key_store": name, "store": str(tmp_path)}, environment={}, stores=STORES)
        options = found(given)["options"]
        assert (options.state, option in options.remedy) == ("failed", True)
