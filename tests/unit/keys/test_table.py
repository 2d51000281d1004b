"""The table of key stores: each entry is whole, and options mean the same everywhere."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from kspsign.certificates.record import RECORD, record_folder
from kspsign.cli.options import settings_fields
from kspsign.keys.open import engine_for, open_key_store, surroundings_of
from kspsign.keys.protocol import no_notice
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.faults import option_name
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from kspsign.settings.store_options import StoreOptions, is_secret, options_of, secret_variables


@pytest.mark.parametrize("name", STORES.entries)
def test_an_entry_is_whole(name: str) -> None:
    entry = STORES.find(name)
    model, kind = entry.load_options(), entry.load_kind()
    assert entry.name == name
    assert issubclass(model, StoreOptions)
    methods = ("open", "examine", *(("reopen",) if entry.signs_natively else ()))
    assert all(callable(getattr(kind, method)) for method in methods)
    assert all(field.description for field in options_of(model).values())
    for _name, variable in secret_variables(model):
        assert is_secret(model.model_fields[variable.secret])


def test_an_option_means_the_same_in_every_store() -> None:
    seen = dict(Settings.model_fields)
    for model in STORES.built_in().values():
        for name, field in options_of(model).items():
            other = seen.setdefault(name, field)
            assert (other.annotation, other.description) == (field.annotation, field.description), name


def test_no_secret_is_an_option() -> None:
    offered = {option_name(name) for name in settings_fields()}
    secrets = {variable.secret for model in STORES.built_in().values() for _name, variable in secret_variables(model)}
    assert secrets == {"password", "pkcs11_pin"}
    assert not offered & {option_name(name) for name in secrets}


@pytest.mark.parametrize(("given", "near"), [("keyloker", "keylocker"), ("pkcs21", "pkcs1"), ("Windows", "windows")])
def test_a_misspelt_store_gets_the_near_one(given: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean {near}") as caught:
        STORES.find(given)
    assert all(name in caught.value.message for name in STORES.entries)


def test_a_key_of_another_store_is_ignored_but_its_value_is_not() -> None:
    given = {"key_store": "embedded", "pkcs11_slot": 3, "csp": "Some KSP"}
    assert resolve("sign", given, environment={}, stores=STORES).key_store == "embedded"
    for wrong in ({"pkcs11_slot": -1}, {"azure_credential": "guess"}, {"certificate": "x.crt"}):
        with pytest.raises(ConfigurationError, match=option_name(next(iter(wrong)))):
            resolve("sign", {**given, **wrong}, environment={}, stores=STORES)


def test_two_secrets_are_of_two_stores() -> None:
    given = {"key_store": "pkcs11", "password_env": "A", "pkcs11_pin_env": "B"}
    with pytest.raises(ConfigurationError, match="exclude each other"):
        resolve("sign", given, environment={"A": "a", "B": "b"}, stores=STORES)


def test_a_store_is_given_its_own_secrets_and_no_others(tmp_path: Path) -> None:
    environment = {"AZURE_CLIENT_SECRET": "azure", "SM_API_KEY": "digicert", "OTHER": "further"}
    environment |= {"AWS_SECRET_ACCESS_KEY": "amazon", "SIGNSERVER_PASSWORD": "keyfactor", "ESIGNER_PASSWORD": "ssl"}
    got: dict[str, set[str]] = {}
    for name, model in STORES.built_in().items():
        record = record_folder(tmp_path / str(len(got)), "AB" * 20) / RECORD
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"key_store": name}), encoding="utf-8")
        given = {"thumbprint": "AB" * 20, "store": tmp_path / str(len(got)), "tool_env": ["OTHER"]}
        settings = resolve("sign", given, environment=environment, stores=STORES)
        options = model(thumbprint="AB" * 20)
        surroundings = surroundings_of(settings, options, threading.Event(), no_notice)
        got[name] = {*surroundings.environment, *surroundings.credentials}
        assert not any(secret in repr(surroundings) for secret in environment.values())
    programs = {"SM_API_KEY", "OTHER"}
    assert got == {
        "embedded": set(),
        "pkcs12": set(),
        "keylocker": programs,
        "azure-key-vault": {"AZURE_CLIENT_SECRET"},
        "azure-artifact-signing": {"AZURE_CLIENT_SECRET"},
        "aws-kms": {"AWS_SECRET_ACCESS_KEY"},
        "google-cloud-kms": set(),
        "pkcs11": programs,
        "vault": set(),
        "signserver": {"SIGNSERVER_PASSWORD"},
        "esigner": {"ESIGNER_PASSWORD"},
        "command": set(),
        "windows": programs,
    }


@pytest.mark.parametrize("record", [None, b"", b"{", b"[]", b'{"key_store": 1}', b'{"key_store": "none"}'])
def test_a_record_that_names_no_store_gives_no_variables(tmp_path: Path, record: bytes | None) -> None:
    path = record_folder(tmp_path, "AB" * 20) / RECORD
    if record is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(record)
    given = {"thumbprint": "AB" * 20, "store": tmp_path}
    environment = {"AZURE_CLIENT_SECRET": "azure"}
    assert resolve("sign", given, environment=environment, stores=STORES).store_environment == {}


def certificate(store: str) -> SyncedCertificate:
    return SyncedCertificate("AB" * 20, (b"",), None, store, {}, test_signing=False)


def test_the_engine_follows_from_the_entry() -> None:
    assert engine_for(Settings(), certificate("windows")) == "signtool"
    assert engine_for(Settings(engine="smctl"), certificate("windows")) == "smctl"
    assert engine_for(Settings(), certificate("pkcs11")) == "native"
    for settings, store in ((Settings(engine="native"), "windows"), (Settings(engine="signtool"), "pkcs12")):
        with pytest.raises(ConfigurationError, match=f"can't reach a key in key store {store}"):
            engine_for(settings, certificate(store))


def test_a_store_behind_a_ksp_is_not_opened_for_the_native_engine() -> None:
    with pytest.raises(ConfigurationError, match="engine native can't reach"):
        open_key_store(Settings(key_store="windows"))
