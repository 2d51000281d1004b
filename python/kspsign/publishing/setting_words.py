"""Names settings as the reader writes them: an option, an input of the task or the action, or a key of a file.

Remedies are written once and name settings as options (`--trust-root`). Where they are read, `in_words` renders those:
`trustRoot:` in the task, `trust-root:` in the action, and `trust_root:` for a setting that came from kspsign.yml; a
command line of SignTool has its own options. A command in backquotes is for copying and stays, as do other options,
such as those of another program.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple, Union, get_args, get_origin

from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kspsign.keys.table import STORES
from kspsign.model.report import FileOutcome, Report, RunWarning
from kspsign.model.values import ErrorFacts
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.context import Caller
from kspsign.settings.model import USER_FIELDS
from kspsign.settings.store_options import TASK_SECRET, SecretVariable, marker, options_of

_OPTION = (
    r"(?P<quoted>`[^`\n]*`)"
    r"|(?<![\w`./\\-])--(?P<name>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?![\w=-]|\.\w)(?: (?P<value>[\w./:|-]*\w))?"
)
_PLACEHOLDER = r"[A-Z][A-Z0-9_|/]+|https?://.*"
SIGNTOOL_OPTIONS: Mapping[str, str] = {
    "append": "/as",
    "config": "KSPSIGN_CONFIG",
    "csp": "/csp",
    "description": "/d",
    "description_url": "/du",
    "digest": "/fd",
    "keypair_alias": "/kc",
    "no_timestamp": "no /tr",
    "page_hashes": "/ph",
    "password_env": "/p",
    "pkcs12": "/f",
    "replace": "no /as",
    "signing_metadata": "/dmdf",
    "thumbprint": "/sha1",
    "timestamp_url": "/tr",
}
"""What a setting is in a command line of SignTool; the others are in the configuration file that is named."""
CODES_OF_SETTINGS = frozenset({"BUDGET_SPENT", "CONFIGURATION", "TIMESTAMP_NEEDED", "UNMAPPED_VARIABLE"})
"""Errors about settings name them in their message too; other messages may quote file names."""


class SettingWords(NamedTuple):
    """Who reads a text: the caller's surface, and the configuration file for the settings that came from it."""

    caller: Caller = "cli"
    configuration: ConfigOrigin = ConfigOrigin()

    def rendered(self, text: str) -> str:
        """`text` with its settings as the reader writes them."""
        if "--" not in text or (self.caller == "cli" and not self.configuration.keys):
            return text
        return re.sub(_OPTION, self._shown, text).replace(":`: ", "`: ")

    def _shown(self, found: re.Match[str]) -> str:
        name = (found["name"] or "").replace("-", "_")
        setting = _known().get(name)
        if setting is None:
            return found[0]
        value = found["value"] or ""
        own = value if _is_value(value, setting) else ""
        rest = f" {value}" if value and not own else ""
        shown = self._setting(name, setting, own)
        return found[0] if shown is None else f"{shown}{rest}"

    def _setting(self, name: str, setting: FieldInfo | Literal["config"], value: str) -> str | None:
        file = self.configuration.facts
        if file is not None and name in self.configuration.keys:
            return f"`{_pair(name, setting, value)}` in {file.name}"
        if self.caller == "cli":
            return None
        if self.caller == "signtool":
            return SIGNTOOL_OPTIONS.get(name) or f"`{_pair(name, setting, value)}` in the file of KSPSIGN_CONFIG"
        if setting != "config" and marker(setting, SecretVariable) is not None:
            return f"`{TASK_SECRET}:`"  # the task and the action take the secret itself
        key = to_camel(name) if self.caller == "task" else name.replace("_", "-")
        return f"`{_pair(key, setting, value)}`"


def in_words(report: Report, words: SettingWords) -> Report:
    """`report` with every remedy in the words of its reader."""
    return replace(
        report,
        error=None if report.error is None else error_in_words(report.error, words),
        files=tuple(_file(outcome, words) for outcome in report.files),
        warnings=tuple(warning_in_words(warning, words) for warning in report.warnings),
    )


def error_in_words(error: ErrorFacts, words: SettingWords) -> ErrorFacts:
    """`error` with its remedy in the words of its reader."""
    message = words.rendered(error.message) if error.code in CODES_OF_SETTINGS else error.message
    return replace(error, message=message, remedy=words.rendered(error.remedy))


def warning_in_words(warning: RunWarning, words: SettingWords) -> RunWarning:
    """`warning` with its remedy in the words of its reader."""
    return replace(warning, remedy=words.rendered(warning.remedy))


def _file(outcome: FileOutcome, words: SettingWords) -> FileOutcome:
    return outcome if outcome.error is None else replace(outcome, error=error_in_words(outcome.error, words))


def _pair(key: str, field: FieldInfo | Literal["config"], value: str) -> str:
    if field != "config" and field.annotation is bool:
        return f"{key}: true"
    return f"{key}: {value}" if value else f"{key}:"


def _is_value(word: str, field: FieldInfo | Literal["config"]) -> bool:
    """Whether `word`, which follows an option in a sentence, is its value: a placeholder, an address or a choice."""
    if not word:
        return False
    choices = [] if field == "config" else [choice for kind in _kinds(field) for choice in get_args(kind)]
    return word in choices or re.fullmatch(_PLACEHOLDER, word) is not None


def _kinds(field: FieldInfo) -> tuple[object, ...]:
    annotation = field.annotation
    alternatives = get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
    return tuple(kind for kind in alternatives if get_origin(kind) is Literal)


@cache
def _known() -> Mapping[str, FieldInfo | Literal["config"]]:
    """Every setting that the task, the action or a file may give, by field, and the configuration file itself."""
    known: dict[str, FieldInfo | Literal["config"]] = {"config": "config", **USER_FIELDS}
    for model in STORES.built_in().values():
        known |= options_of(model)
    return known
