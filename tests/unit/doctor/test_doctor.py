"""The doctor where no Windows is: what applies is examined, what does not is said not to be needed."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from pydantic import SecretStr

from kspsign.doctor import run_doctor
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.keys.windows.credentials import examine_credentials
from kspsign.keys.windows.options import WindowsOptions
from kspsign.settings.model import Settings
from support import pki
from support.formats.navx_samples import build_navx


def examined(settings: Settings, folder: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings by name."""
    out = io.StringIO()
    code = run_doctor(settings, folder, out, as_json=True)
    content = json.loads(out.getvalue())
    assert content["schema"] == "kspsign.doctor/1"
    return code, {each["name"]: each for each in content["checks"]}


def test_the_native_engine_needs_a_timestamp_server_and_nothing_else(
    tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    with TimestampServer(authority) as server:
        code, found = examined(Settings(command="doctor", timestamp_url=(server.url,)), tmp_path)
        assert (code, found["timestamp server"]["state"]) == (0, "ok")
        code, found = examined(Settings(timestamp_url=("http://127.0.0.1:9/",)), tmp_path)
        assert (code, found["timestamp server"]["state"]) == (5, "missing")
        out = io.StringIO()
        both = Settings(timestamp_url=("http://127.0.0.1:9/", server.url))
        assert run_doctor(both, tmp_path, out, as_json=False) == 0
    assert "warning     timestamp server" in out.getvalue()
    assert out.getvalue().endswith("kspsign doctor: ready\n")


def test_the_tools_that_are_missing(tmp_path: Path) -> None:
    options = WindowsOptions(certificate=tmp_path / "missing.crt", keypair_alias="Release")
    settings = Settings(
        key_store="windows", no_timestamp=True, signtool=tmp_path, smctl=tmp_path, store_options=options
    )
    code, found = examined(settings, tmp_path)
    assert code == 5
    missing = {name for name, each in found.items() if each["state"] == "missing"}
    assert {"signtool", "smctl", "service", "SM_HOST", "SM_API_KEY", "certificate file"} <= missing
    assert all(each["remedy"] for each in found.values() if each["state"] == "missing")


def client(tmp_path: Path, *, days: int) -> dict[str, SecretStr]:
    """A client certificate that ends in `days` days."""
    issued = pki.signer("client", None, end=datetime.now(UTC) + timedelta(days=days))
    file = tmp_path / "client.p12"
    content = pkcs12.serialize_key_and_certificates(
        None, issued.key, issued.certificate, None, BestAvailableEncryption(b"p")
    )
    file.write_bytes(content)
    values = {
        "SM_HOST": "https://h",
        "SM_API_KEY": "k",
        "SM_CLIENT_CERT_PASSWORD": "p",
        "SM_CLIENT_CERT_FILE": str(file),
    }
    return {name: SecretStr(value) for name, value in values.items()}


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (3, "warning"), (-3, "missing")])
def test_how_long_the_client_certificate_is_valid(tmp_path: Path, days: int, state: str) -> None:
    found = {each.name: each for each in examine_credentials(client(tmp_path, days=days), connected=False)}
    assert {name: each.state for name, each in found.items()} == {
        "SM_HOST": "ok",
        "SM_API_KEY": "ok",
        "SM_CLIENT_CERT_PASSWORD": "ok",
        "SM_CLIENT_CERT_FILE": state,
    }
    assert bool(found["SM_CLIENT_CERT_FILE"].remedy) == (state != "ok")


def test_credentials_that_smctl_keeps_itself_are_not_missed() -> None:
    assert {each.state for each in examine_credentials({}, connected=True)} == {"ok"}
    assert {each.state for each in examine_credentials({}, connected=False)} == {"missing"}


def test_a_host_that_is_no_url() -> None:
    secrets = {"SM_HOST": SecretStr("clientauth.one.digicert.com")}
    assert next(iter(examine_credentials(secrets, connected=True))).state == "missing"


@pytest.mark.parametrize(("key_store", "state"), [("embedded", "not needed"), ("windows", "missing")])
def test_navsip_is_for_signtool_alone(tmp_path: Path, key_store: Any, state: str) -> None:
    (tmp_path / "some.app").write_bytes(build_navx())
    settings = Settings(key_store=key_store, no_timestamp=True, files=("some.app",), folder=tmp_path)
    assert examined(settings, tmp_path)[1]["NavSip"]["state"] == state
