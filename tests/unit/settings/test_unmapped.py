"""Macros that nothing replaced: refused before anything is spent, wherever they stand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from kspsign.cli.commands import execute
from kspsign.gate.settings import resolve_gate
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.reconciliation.settings import resolve_reconcile
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve

GITHUB = {"GITHUB_ACTIONS": "true"}


def refusal(command: Any = "run", environment: dict[str, str] | None = None, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        resolve(command, options.pop("arguments", {}), environment=environment or {}, stores=STORES, **options)
    assert caught.value.code == "UNMAPPED_VARIABLE"
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"description": "$(productName)"}, "--description holds the text $(productName)"),
        ({"description": "Contoso $(version) Setup"}, "--description holds the text $(version)"),
        ({"files": ["*.exe", "$(out)/**/*.dll"]}, "--files holds the text $(out)"),
        ({"files": ["*.exe\n$(out)/**/*.dll"]}, "--files holds the text $(out)"),
        ({"files": ["!$(skip)/**", "*.exe"]}, "--files holds the text $(skip)"),
        ({"folder": "$(Build.ArtifactStagingDirectory)"}, "--folder holds the text $(Build.ArtifactStagingDirectory)"),
        ({"folder": Path("$(Build.ArtifactStagingDirectory)/x")}, "--folder"),
        ({"key_store": "$(keyStore)"}, "--key-store holds the text"),
        ({"thumbprint": "$(thumbprint)"}, "--thumbprint holds the text"),
        ({"jobs": "$(jobs)"}, "--jobs holds the text"),
        ({"append": "$(append)"}, "--append holds the text"),
        ({"timestamp_url": ["http://a.example", "$(tsa)"]}, "--timestamp-url holds the text"),
        ({"trust_root": ["$(root.secureFilePath)"]}, "--trust-root holds the text"),
        ({"tool_env": ["$(name)"]}, "--tool-env holds the text"),
        ({"key_store": "pkcs12", "pkcs12": "$(pfx.secureFilePath)"}, "--pkcs12 holds the text"),
        ({"key_store": "azure-key-vault", "key_identifier": "https://$(vault).vault.azure.net/keys/a"}, "$(vault)"),
        ({"password_env": "$(PfxPassword)"}, "--password-env holds the text"),
        ({"description": "${{ vars.NAME }}"}, "--description holds the text ${{ vars.NAME }}"),
        ({"description": "$[variables.name]"}, "--description holds the text $[variables.name]"),
        ({"description": "$[ format('{0}', variables['x']) ]"}, "--description"),
        ({"description": "$(a)", "jobs": "$(b)"}, "likewise --jobs holds $(b)"),
    ],
)
@pytest.mark.parametrize("command", ["run", "verify"])
def test_a_macro_in_any_setting_is_named(command: str, arguments: dict[str, Any], words: str) -> None:
    assert words in str(refusal(command, arguments=arguments))


@pytest.mark.parametrize(
    "value", ["costs $5 (net)", "a$(b", "$()", "$(1)", "{{x}}", "C$\\(x)", "$[abc].exe", "100 % (best)", "$x", "%x%"]
)
def test_what_only_looks_like_one_is_taken(value: str) -> None:
    assert resolve("run", {"description": value}, environment={}, stores=STORES).description == value


def test_inputs_are_named_as_in_the_task() -> None:
    assert "timestampUrl holds the text $(tsa)" in str(refusal(inputs={"timestampUrl": ["$(tsa)"]}))


def test_what_an_argument_overrules_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "k.yml"
    file.write_text("description: $(x)\n", encoding="utf-8")
    assert resolve("run", {"description": "y"}, config=file, environment={}, stores=STORES).description == "y"


def test_in_a_file_nothing_replaces_it(tmp_path: Path) -> None:
    file = tmp_path / "k.yml"
    file.write_text("jobs: 3\nfiles:\n- a.exe\n- $(out)/b.exe\n", encoding="utf-8")
    error = refusal(config=file)
    assert f"files ({file.as_posix()}, line 4) holds the text $(out)" in str(error)
    assert "Nothing replaces variables in a file" in error.remedy


def test_the_remedy_is_in_the_form_of_the_runner() -> None:
    error = refusal(environment=GITHUB, arguments={"description": "$(name)"})
    assert "$(...) is Azure Pipelines' form. On GitHub write ${{ vars.NAME }}" in error.remedy
    error = refusal(arguments={"description": "${{ vars.NAME }}"})
    assert "Write $(NAME)" in error.remedy
    assert "under `variables:` only" in refusal(arguments={"description": "$[variables.x]"}).remedy
    environment = {**GITHUB, "SM_API_KEY": "$(apiKey)"}
    error = refusal(environment=environment, arguments={"key_store": "keylocker"})
    assert "SM_API_KEY: ${{ secrets.SM_API_KEY }}" in error.remedy


@pytest.mark.parametrize(
    ("key_store", "environment", "name"),
    [
        ("keylocker", {"SM_API_KEY": "$(SM_API_KEY)"}, "SM_API_KEY"),
        ("keylocker", {"SM_CLIENT_CERT_PASSWORD": "$(pw)"}, "SM_CLIENT_CERT_PASSWORD"),
        ("keylocker", {"SM_HOST": "https://$(host)"}, "SM_HOST"),
        ("azure-key-vault", {"AZURE_CLIENT_SECRET": "$(secret)\r\n"}, "AZURE_CLIENT_SECRET"),
        ("azure-key-vault", {"AZURE_TENANT_ID": "$(tenant)"}, "AZURE_TENANT_ID"),
        ("embedded", {"HTTPS_PROXY": "http://$(proxyHost):8080"}, "HTTPS_PROXY"),
    ],
)
def test_a_mapped_variable_is_named(key_store: str, environment: dict[str, str], name: str) -> None:
    assert f"{name} holds the text $(" in str(refusal(environment=environment, arguments={"key_store": key_store}))


def test_the_tasks_secrets_are_named() -> None:
    given = {"keyStore": "pkcs12", "pkcs12": "a.pfx"}
    assert "password holds the text $(pw)" in str(refusal(inputs=given, secrets={"password": "$(pw)"}))
    token = {"accessToken": "$(System.AccessToken)"}
    assert "SYSTEM_ACCESSTOKEN holds the text" in str(refusal(inputs=given, secrets=token))


def test_a_password_may_hold_any_characters() -> None:
    given = {"keyStore": "pkcs12", "pkcs12": "a.pfx"}
    password = "x$(y)z"  # noqa: S105 - made up
    settings = resolve("run", {}, inputs=given, secrets={"password": password}, environment={}, stores=STORES)
    assert settings.given_options["password"].get_secret_value() == password


@pytest.mark.parametrize(("command", "key_store"), [("verify", "keylocker"), ("run", "embedded"), ("merge", None)])
def test_secrets_that_nothing_reads_do_not_count(command: Any, key_store: str | None) -> None:
    arguments = {"key_store": key_store} if key_store else {}
    environment = {"SM_API_KEY": "$(SM_API_KEY)"}
    assert isinstance(resolve(command, arguments, environment=environment, stores=STORES), Settings)


@pytest.mark.parametrize(("name", "value"), [("command", "$(command)"), ("config", "$(config)")])
def test_inputs_of_the_task_that_are_no_settings(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    document: dict[str, Any] = {"version": 1, "command": "run", "inputs": {}, "secrets": {}, "variables": {}}
    document = {**document, name: value} if name == "command" else {**document, "inputs": {name: value}}
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(document).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(ConfigurationError, match=f"{name} holds the text"):
        execute("task", {}, {})


def test_the_gate_names_them_too() -> None:
    given = {"collection": "https://dev.example/c", "project": "$(System.TeamProject)", "build_id": [1]}
    with pytest.raises(ConfigurationError, match="--project holds the text"):
        resolve_gate(given, {"SYSTEM_ACCESSTOKEN": "t"})
    with pytest.raises(ConfigurationError, match="SYSTEM_ACCESSTOKEN holds the text"):
        resolve_gate({**given, "project": "p"}, {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"})


def test_reconcile_names_the_token_too() -> None:
    given = {
        "from_azure_devops": True,
        "definition": (1,),
        "since": "2026-01-01",
        "key_log": (Path("key.json"),),
        "collection": "https://dev.example/c",
        "project": "p",
    }
    assert resolve_reconcile(given, {"SYSTEM_ACCESSTOKEN": "t"}).token is not None
    with pytest.raises(ConfigurationError, match="SYSTEM_ACCESSTOKEN holds the text"):
        resolve_reconcile(given, {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"})
