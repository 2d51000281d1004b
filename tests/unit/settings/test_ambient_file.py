"""A kspsign.yml that nobody named: which settings it may hold, and who reads it at all."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic.fields import FieldInfo

from kspsign.gate.settings import GateSettings, resolve_gate
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.commands import Command
from kspsign.settings.model import USER_FIELDS, Settings
from kspsign.settings.resolve import resolve
from kspsign.settings.store_options import Ambient, Output, StoreOptions, is_harmless, marker, options_of
from support.places import ROOT

HARMLESS = {
    *(
        "files",
        "key_store",
        "thumbprint",
        "keypair_alias",
        "pkcs11_key_id",
        "vault_key_version",
        "certificate_store",
        "digest",
    ),
    *("description", "description_url", "page_hashes", "no_aia"),
    *("jobs", "timestamp_jobs", "timestamp_limit", "max_signatures", "max_signatures_per_month"),
    *("fail_fast", "verbose"),
}
"""A new setting belongs here only when whoever sends a pull request may choose it."""
NO_OUTPUTS = {
    *(
        "folder",
        "signtool",
        "smctl",
        "navsip",
        "trust_root",
        "policy",
        "journal",
        "signature_cache",
        "store",
        "ca_file",
    ),
    *("signature", "document", "signer", "catalog"),
}
"""Paths that are read, or folders of the run's own state."""


def every_field() -> dict[str, list[FieldInfo]]:
    """All settings of a run and of each built-in key store, by name."""
    found: dict[str, list[FieldInfo]] = {name: [field] for name, field in USER_FIELDS.items()}
    for entry in STORES.entries.values():
        for name, field in options_of(entry.load_options()).items():
            found.setdefault(name, []).append(field)
    return found


FIELDS = every_field()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_setting_says_whether_an_ambient_file_may_hold_it(name: str) -> None:
    decisions = {marker(field, Ambient) for field in FIELDS[name]}
    assert decisions == {Ambient.HARMLESS if name in HARMLESS else Ambient.REFUSED}


def test_a_field_that_says_nothing_is_refused() -> None:
    class Silent(StoreOptions):
        silent: str | None = None

    assert not is_harmless(Silent.model_fields["silent"])


def test_every_path_says_whether_it_is_written() -> None:
    paths = {name for name, field in USER_FIELDS.items() if "Path" in str(field.annotation)}
    written = {name for name, fields in FIELDS.items() if any(marker(field, Output) for field in fields)}
    assert paths - written == NO_OUTPUTS
    assert written <= set(USER_FIELDS)  # no key store writes a file that a user names


def test_the_gates_paths_do_too() -> None:
    paths = {name for name, field in GateSettings.model_fields.items() if "Path" in str(field.annotation)}
    written = {name for name, field in GateSettings.model_fields.items() if marker(field, Output) is not None}
    assert paths - written == {"folder", "policy", "ca_file"}
    assert written == {"report"}


@pytest.fixture
def ambient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kspsign.yml"


def read(command: Command = "run", **given: Any) -> Settings:
    return resolve(command, given, config="ambient", environment={}, stores=STORES)


def value_of(name: str) -> str:
    annotation = str(FIELDS[name][0].annotation)
    return "true" if annotation == "<class 'bool'>" else "['x']" if "tuple" in annotation else "x"


@pytest.mark.parametrize("name", sorted(set(FIELDS) - HARMLESS))
def test_a_setting_that_decides_something_is_refused_with_its_line(ambient: Path, name: str) -> None:
    ambient.write_text(f"jobs: 3\n\n{name}: {value_of(name)}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert f"line 3: {name}" in str(caught.value)
    assert str(caught.value).startswith("kspsign.yml: ")
    assert "--config kspsign.yml" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_every_such_setting_is_named_at_once(ambient: Path) -> None:
    ambient.write_text("trust_root: [x]\njobs: 1\nsigntool: x\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 1: trust_root; line 3: signtool"):
        read()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("['*.exe', '@/etc/passwd']", "a list file"),
        ("'@list.txt'", "a list file"),
        ('["*.exe\\n  @list.txt"]', "a list file"),
        ("['!@list.txt']", "a list file"),
        ("['../**']", "leads out"),
        ("['bin/../../x.exe']", "leads out"),
        ("['/usr/**']", "leads out"),
        ("['{..,bin}/**']", "leads out"),
        ("['{bin,obj}/{x,..}/../**']", "leads out"),
        ("['{.,x}./**']", "leads out"),
        ("['{/usr,bin}/**']", "leads out"),
        ("['!!../**']", "leads out"),
        ("['!!@list.txt']", "a list file"),
        ("['{1..9999}']", "more than 500"),
        (r"['C:\Windows\**']", "leads out"),
        (r"['c:x.exe']", "leads out"),
        (r"['..\x.exe']", "leads out"),
        (r"['\\server\share\x.exe']", "leads out"),
    ],
)
def test_patterns_of_an_ambient_file_stay_in_the_folder(ambient: Path, value: str, reason: str) -> None:
    ambient.write_text(f"files: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"line 1: files \(.*{reason}"):
        read()


def test_harmless_settings_are_read(ambient: Path) -> None:
    text = "files: ['bin/**/*.exe', '!**/vendor/**']\nkey_store: embedded\ndescription: Contoso\njobs: 9\n"
    assert read().jobs == 32
    ambient.write_text(text, encoding="utf-8")
    settings = read()
    assert (settings.files, settings.key_store) == (("bin/**/*.exe", "!**/vendor/**"), "embedded")
    assert (settings.jobs, read(jobs=2).jobs) == (9, 2)
    facts = settings.configuration.facts
    assert facts is not None
    assert (facts.name, facts.sha256, facts.ambient) == ("kspsign.yml", hashlib.sha256(text.encode()).hexdigest(), True)
    assert settings.configuration.unread is None
    (notice,) = settings.configuration.notices
    assert facts.sha256 in notice
    ambient.write_text("# nothing yet\n", encoding="utf-8")
    assert read().jobs == 32


@pytest.mark.parametrize(
    "text",
    [
        "<<: {trust_root: [x]}\n",
        "a: &a {trust_root: [x]}\n<<: *a\n",
        "jobs: 1\njobs: 2\n",
        "? [jobs]\n: 1\n",
        "[" * 5000,
        "- jobs\n",
        "jobs: 1\n---\ntrust_root: [x]\n",
        f"description: {'x' * (1 << 18)}\n",
        "credentials: {a: b}\n",
        "configuration: x\n",
        "password: x\n",
    ],
)
def test_there_is_no_way_round(ambient: Path, text: str) -> None:
    ambient.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert caught.value.file == "kspsign.yml"


def test_what_is_no_file_is_refused(ambient: Path) -> None:
    ambient.mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read()


def test_a_link_to_nothing_is_no_absence(ambient: Path) -> None:
    ambient.symlink_to("gone.yml")
    with pytest.raises(ConfigurationError, match="does not exist"):
        read()


READERS = {"run", "certsync", "sign", "remove", "extract", "attach", "digest", "catalog", "timestamp", "doctor"}


@pytest.mark.parametrize("command", get_args(Command))
def test_commands_that_judge_read_no_ambient_file(ambient: Path, command: Command) -> None:
    ambient.write_text("description: x\n", encoding="utf-8")
    origin = read(command).configuration
    assert (origin.facts is not None) == (command in READERS)
    assert origin.unread == (None if command in READERS else Path("kspsign.yml"))
    assert len(origin.notices) == 1
    ambient.write_text("trust_root: [x]\n", encoding="utf-8")
    if command in READERS:
        with pytest.raises(ConfigurationError):
            read(command)
    else:
        assert read(command).trust_root == ()


@pytest.mark.parametrize("command", get_args(Command))
def test_a_named_file_holds_any_setting(ambient: Path, command: Command) -> None:
    ambient.write_text("trust_root: [x]\nno_timestamp: true\n", encoding="utf-8")
    settings = resolve(command, {}, config=ambient, environment={}, stores=STORES)
    assert (settings.trust_root, settings.no_timestamp) == ((Path("x"),), True)
    assert settings.configuration.unread is None  # it is the same file
    assert settings.configuration.facts is not None
    assert not settings.configuration.facts.ambient
    other = ambient.with_name("other.yml")
    other.write_text("jobs: 7\n", encoding="utf-8")
    settings = resolve(command, {}, config=other, environment={}, stores=STORES)
    assert (settings.jobs, settings.trust_root) == (7, ())
    assert settings.configuration.unread == Path("kspsign.yml")
    assert [line for line in settings.configuration.notices if "is not read" in line]


def test_inputs_alone_read_none(ambient: Path) -> None:
    """As the task and the action resolve them."""
    ambient.write_text("jobs: 7\n", encoding="utf-8")
    settings = resolve("run", {}, inputs={"digest": "sha384"}, environment={}, stores=STORES)
    assert (settings.jobs, settings.configuration.unread) == (32, Path("kspsign.yml"))


def gate(**given: Any) -> GateSettings:
    required = {"collection": "https://dev.example/c", "project": "p", "build_id": [4711]}
    return resolve_gate({**required, **given}, {"SYSTEM_ACCESSTOKEN": "t"})


def test_the_gate_reads_the_file_that_it_is_told(ambient: Path) -> None:
    ambient.write_text("allow_test_signing: true\nverdicts: 3\n", encoding="utf-8")
    settings = gate()
    assert (settings.allow_test_signing, settings.verdicts) == (False, 1)
    assert settings.configuration.unread == Path("kspsign.yml")
    settings = gate(config=ambient, verdicts=2)
    assert (settings.allow_test_signing, settings.verdicts) == (True, 2)
    assert settings.configuration.facts is not None


@pytest.mark.parametrize("key", ["token", "configuration", "network_environment", "trust_root", "config"])
def test_the_gates_file_holds_its_settings_only(ambient: Path, key: str) -> None:
    ambient.write_text(f"{key}: x\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"not a setting of the gate: {key}"):
        gate(config=ambient)


def test_the_page_lists_the_harmless_settings() -> None:
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    listed = re.search(r"that is not named may hold (.*?)\. Patterns", page)
    assert listed is not None
    assert set(re.findall("`(.+?)`", listed[1])) == HARMLESS
