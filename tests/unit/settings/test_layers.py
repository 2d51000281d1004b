"""Which layer wins, what it overrules, and where a wrong setting was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kspsign.gate.settings import GateSettings, resolve_gate
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.layers import _exclusive
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from kspsign.settings.store_options import make_options, options_of

URL = "http://timestamp.example"
PIN = "4711"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "kspsign.yml"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("append: true", {"replace": True}, {"append": False, "replace": True}),
        ("skip_signed: true", {"append": True}, {"append": True, "skip_signed": False}),
        (f"timestamp_url: ['{URL}']", {"no_timestamp": True}, {"timestamp_url": (), "no_timestamp": True}),
        ("no_timestamp: true", {"timestamp_url": [URL]}, {"timestamp_url": (URL,), "no_timestamp": False}),
        ("verbose: true", {"quiet": True}, {"quiet": True, "verbose": False}),
        ("append: true", {"append": False}, {"append": False}),
        ("append: true", {"replace": False}, {"append": True, "replace": False}),
    ],
)
@pytest.mark.parametrize("layer", ["arguments", "inputs"])
def test_what_was_given_overrules_its_opposite_in_the_file(
    config: Path, text: str, given: dict[str, Any], expected: dict[str, Any], layer: str
) -> None:
    config.write_text(text, encoding="utf-8")
    if layer == "arguments":
        settings = resolve("sign", given, config=config, environment={}, stores=STORES)
    else:
        names = {"no_timestamp": "noTimestamp", "timestamp_url": "timestampUrl"}
        inputs = {names.get(name, name): value for name, value in given.items()}
        settings = resolve("sign", {}, inputs=inputs, config=config, environment={}, stores=STORES)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_options_of_a_key_store_overrule_each_other_too(config: Path) -> None:
    config.write_text("key_store: pkcs11\npkcs11_token: Release\n", encoding="utf-8")
    options = resolve("sign", {"pkcs11_slot": 3}, config=config, environment={}, stores=STORES).store_options
    assert options is not None
    assert (options.model_dump()["pkcs11_token"], options.model_dump()["pkcs11_slot"]) == (None, 3)


def test_the_gate_too(config: Path) -> None:
    policy = config.with_name("policy.yml")
    policy.write_text("signed: {}\n", encoding="utf-8")
    config.write_text(f"policy: {policy}\n", encoding="utf-8")
    required = {"collection": "https://dev.example/c", "project": "p", "build_id": [4711], "config": config}
    settings = resolve_gate({**required, "policy_sha256": "ab" * 32}, {"SYSTEM_ACCESSTOKEN": "t\r\n"})
    assert settings.policy_sha256 == "ab" * 32
    assert settings.token.get_secret_value() == "t"


def values(members: list[str]) -> dict[str, Any]:
    samples = {"timestamp_url": [URL], "pkcs11_token": "x", "pkcs11_slot": 1}
    return {name: samples.get(name, True) for name in members}


def test_in_one_layer_they_exclude_each_other() -> None:
    """What is marked as exclusive is refused together: the marks and the rules say the same."""
    seen = 0
    for members in _exclusive(Settings.model_fields):
        seen += 1
        with pytest.raises(ConfigurationError, match="exclude each other"):
            resolve("sign", values(members), environment={}, stores=STORES)
    for entry in STORES.entries.values():
        fields = options_of(entry.load_options())
        for members in _exclusive(fields):
            seen += 1
            with pytest.raises(ConfigurationError, match="exclude each other"):
                make_options(entry.load_options(), values(members))
    assert seen == 4
    assert len([*_exclusive(GateSettings.model_fields)]) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digest: sha256\njbos: 3\n", "jbos (kspsign.yml, line 2) (did you mean jobs?)"),
        ("digest: sha256\n\njobs: 0\n", "jobs (kspsign.yml, line 3): "),
        (
            "jobs: 3\ntimestamp_url:\n- http://a.example\n- b.example\n",
            "timestamp_url (kspsign.yml, line 2): URL 2 of 2",
        ),
        ("jobs: 3\nkey_store: pkcs11\npkcs11_slot: -1\n", "pkcs11_slot (kspsign.yml, line 3): "),
        ("files:\n- a\n- {}\n", "files (kspsign.yml, line 3)"),
    ],
)
def test_a_fault_in_the_file_has_its_line(config: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.chdir(config.parent)
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        resolve("run", {}, config=Path("kspsign.yml"), environment={}, stores=STORES)
    assert words in str(caught.value)


def test_so_has_one_in_the_gates_file(config: Path) -> None:
    config.write_text("verdicts: 1\nverdict: 2\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"line 2\) \(did you mean verdicts\?\)"):
        resolve_gate({"config": config}, {"SYSTEM_ACCESSTOKEN": "t"})


@pytest.mark.parametrize("command", ["verify", "merge", "timestamp"])
def test_commands_without_key_store_ask_for_no_secret(config: Path, command: Any) -> None:
    config.write_text("password_env: PFX_PASSWORD\n", encoding="utf-8")
    assert resolve(command, {}, config=config, environment={}, stores=STORES).given_options == {
        "password_env": "PFX_PASSWORD"
    }
    with pytest.raises(ConfigurationError, match="PFX_PASSWORD"):
        resolve("sign", {}, config=config, environment={}, stores=STORES)


@pytest.mark.parametrize("command", ["sign", "certsync", "timestamp", "doctor"])
def test_commands_that_publish_nothing_ask_for_no_token(config: Path, command: Any) -> None:
    config.write_text("publish_token_env: TOKEN\n", encoding="utf-8")
    assert resolve(command, {}, config=config, environment={}, stores=STORES).publish_token is None
    with pytest.raises(ConfigurationError, match="TOKEN"):
        resolve("verify", {}, config=config, environment={}, stores=STORES)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\n\r\n"])
def test_every_secret_is_taken_without_line_ends(end: str) -> None:
    environment = {"PIN": PIN + end, "SM_API_KEY": "key" + end, "AZURE_CLIENT_SECRET": "s" + end, "EMPTY": end}
    given = {"key_store": "pkcs11", "pkcs11_pin_env": "PIN"}
    settings = resolve("sign", given, environment=environment, stores=STORES)
    assert settings.given_options["pkcs11_pin"].get_secret_value() == PIN
    assert settings.credentials["SM_API_KEY"].get_secret_value() == "key"
    azure = resolve("sign", {"key_store": "azure-key-vault"}, environment=environment, stores=STORES)
    assert azure.store_environment["AZURE_CLIENT_SECRET"].get_secret_value() == "s"
    secrets = {"password": PIN + end, "accessToken": "t" + end}
    task = resolve("run", {"key_store": "embedded"}, environment={}, secrets=secrets, stores=STORES)
    assert task.given_options["password"].get_secret_value() == PIN
    assert task.publish_token is not None
    assert task.publish_token.get_secret_value() == "t"


def test_a_text_stands_for_its_lines(config: Path) -> None:
    config.write_text(f"files: |\n  *.exe\n  !b.exe\ntimestamp_url: {URL}\n", encoding="utf-8")
    settings = resolve("sign", {}, config=config, environment={}, stores=STORES)
    assert (settings.files, settings.timestamp_url) == (("*.exe", "!b.exe"), (URL,))
