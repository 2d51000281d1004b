"""Pipeline macros that were not replaced: `$(name)` reaches a program unchanged when there is no such variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from kspsign.settings.model import INTERNAL_FIELDS, Settings, option_name
from kspsign.settings.store_options import StoreOptions, secret_variables

_MACRO = re.compile(r"\$\([A-Za-z_][\w.\- ]*\)|\$\{\{[^{}]*\}\}")
"""Azure Pipelines' macro syntax, and GitHub's expression where nothing evaluated it."""


@dataclass(frozen=True, slots=True)
class Unmapped:
    """`where` is the variable or option whose value is, or holds, the text `macro`."""

    where: str
    macro: str


def unmapped_variables(settings: Settings) -> tuple[Unmapped, ...]:
    """Each in `settings`: in options that users may set, in secrets and in variables that the key store reads.

    A secret counts only as a whole: a password may hold any characters.
    """
    options = settings.store_options or StoreOptions()
    found = [*_in_options(settings), *_in_options(options), *_in_secrets(options)]
    for variables in (settings.credentials, settings.store_environment):
        for name, value in variables.items():
            found += _whole(name, value)
    return tuple(dict.fromkeys(found))


def in_text(where: str, text: str) -> tuple[Unmapped, ...]:
    """Each macro in a text about `where`, such as the refusal of a value."""
    return tuple(Unmapped(where, macro) for macro in dict.fromkeys(_MACRO.findall(text)))


def _in_options(model: BaseModel) -> Iterator[Unmapped]:
    for name, value in model:
        values = value if isinstance(value, tuple) else (value,)
        texts = [str(text) for text in values if isinstance(text, (str, Path))]
        for macro in () if name in INTERNAL_FIELDS else (macro for text in texts for macro in _MACRO.findall(text)):
            yield Unmapped(option_name(name), macro)


def _in_secrets(options: StoreOptions) -> Iterator[Unmapped]:
    for name, variable in secret_variables(type(options)):
        value = getattr(options, variable.secret, None)
        if isinstance(value, SecretStr):
            yield from _whole(str(getattr(options, name, None) or variable.secret), value)


def _whole(name: str, value: SecretStr) -> Iterator[Unmapped]:
    text = value.get_secret_value().strip()
    if _MACRO.fullmatch(text):
        yield Unmapped(name, text)
