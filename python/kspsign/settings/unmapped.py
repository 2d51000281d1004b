"""Pipeline macros that were not replaced: `$(name)` reaches a program unchanged when there is no such variable."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from kspsign.model.errors import ConfigurationError
from kspsign.settings.commands import KEY_STORE_COMMANDS
from kspsign.settings.context import Surface
from kspsign.settings.faults import option_name
from kspsign.settings.layers import Given
from kspsign.settings.model import INTERNAL_FIELDS, Settings
from kspsign.settings.store_options import StoreOptions, secret_variables

_MACRO = re.compile(
    r"\$\([A-Za-z_][\w.\- ]*\)"  # Azure Pipelines, as a step begins
    r"|\$\[\s*[A-Za-z]+\s*[.(\[][^\r\n]*?\]"  # Azure Pipelines, in variables and conditions only
    r"|\$\{\{[^{}]*\}\}"  # GitHub; templates of Azure Pipelines
)
_VARIABLE = re.compile(r"\w+")
_PASSWORD = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|PIN\b", re.IGNORECASE)
_NAMED = 5


class Unmapped(NamedTuple):
    """`where` is the variable, option or input whose value is, or holds, the text `macro`; `in_file` is true in a file,
    where nothing replaces any."""

    where: str
    macro: str
    in_file: bool = False


def unmapped_variables(settings: Settings) -> tuple[Unmapped, ...]:
    """Each in `settings`: in options that users may set, in secrets and in variables that the command reads.

    A password counts only as a whole: it may hold any characters.
    """
    options = settings.store_options or StoreOptions()
    found = [*_in_options(settings), *_in_options(options), *_in_variables(settings.network_environment)]
    if settings.publish_token is not None:
        found += _in_variables({str(settings.publish_token_env or "SYSTEM_ACCESSTOKEN"): settings.publish_token})
    if settings.command in KEY_STORE_COMMANDS:
        found += _in_secrets(options)
        programs = settings.store_options is None or options.program_credentials or bool(settings.tool_env)
        for variables in (settings.credentials if programs else {}, settings.store_environment):
            found += _in_variables(variables)
    return tuple(dict.fromkeys(found))


def unmapped_settings(given: Given) -> tuple[Unmapped, ...]:
    """Each in settings as they were given, before they are judged by anything else."""
    return tuple(
        Unmapped(given.shown(name, *place), macro, given.in_file(name))
        for name, value in given.values.items()
        for place, text in _texts(value)
        for macro in _MACRO.findall(text)
    )


def in_text(where: str, text: str) -> tuple[Unmapped, ...]:
    """Each macro in a text about `where`, such as the refusal of a value."""
    return tuple(Unmapped(where, macro) for macro in dict.fromkeys(_MACRO.findall(text)))


def refuse_unmapped(found: Collection[Unmapped], surface: Surface) -> None:
    """Raises ConfigurationError that names them."""
    if not found:
        return
    macros = [*found]
    first = unmapped_error(macros[0], surface)
    others = "; ".join(f"{other.where} holds {other.macro}" for other in macros[1:_NAMED])
    more = f" and {len(macros) - _NAMED} more" if len(macros) > _NAMED else ""
    raise ConfigurationError(
        f"{first.message}{f'; likewise {others}{more}' if others else ''}", code=first.code, remedy=first.remedy
    )


def unmapped_error(found: Unmapped, surface: Surface) -> ConfigurationError:
    """The error for a macro that was not replaced: there is no such variable, or the form is that of another system."""
    name = found.where
    mapped = _VARIABLE.fullmatch(name) is not None and name.upper() == name
    azure = not found.macro.startswith("${{")
    if found.in_file:
        remedy = "Nothing replaces variables in a file: write the value there, or give it as an input of the step."
    elif surface == "github-actions":
        form = f"{name}: ${{{{ secrets.{name} }}}}" if mapped else "${{ vars.NAME }} or ${{ secrets.NAME }}"
        remedy = f"On GitHub write {f'env: {{ {form} }}' if mapped else form}, outside of scripts and files."
        remedy = f"$(...) is Azure Pipelines' form. {remedy}" if azure else remedy
    else:
        remedy = "Define the variable where this step runs (pipeline variable, variable group), or correct its name"
        remedy += f"; a secret is mapped by env: {{ {name}: $(...) }}." if mapped else "."
        if found.macro.startswith("$["):
            remedy = f"$[ ] is evaluated under `variables:` only: set a variable there and use $(NAME) here. {remedy}"
        elif not azure:
            remedy = f"${{{{ }}}} is GitHub's form, and that of templates. Write $(NAME). {remedy}"
    return ConfigurationError(
        f"{name} holds the text {found.macro}, "
        + ("which nothing replaces in a file" if found.in_file else "since no variable of that name replaced it"),
        code="UNMAPPED_VARIABLE",
        remedy=remedy,
    )


def _texts(value: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    """The texts in a value, each with where it is."""
    if isinstance(value, (str, Path)):
        yield (), str(value)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from (((index,), text) for place, text in _texts(item) if not place)


def _in_options(model: BaseModel) -> Iterator[Unmapped]:
    for name, value in model:
        for _place, text in () if name in INTERNAL_FIELDS else _texts(value):
            for macro in _MACRO.findall(text):
                yield Unmapped(option_name(name), macro)


def _in_secrets(options: StoreOptions) -> Iterator[Unmapped]:
    for name, variable in secret_variables(type(options)):
        value = getattr(options, variable.secret, None)
        if isinstance(value, SecretStr):
            yield from _whole(str(getattr(options, name, None) or variable.secret), value)


def _in_variables(variables: Mapping[str, SecretStr]) -> Iterator[Unmapped]:
    for name, value in variables.items():
        if _PASSWORD.search(name):
            yield from _whole(name, value)
        else:
            yield from in_text(name, value.get_secret_value())


def _whole(name: str, value: SecretStr) -> Iterator[Unmapped]:
    text = value.get_secret_value().strip()
    if _MACRO.fullmatch(text):
        yield Unmapped(name, text)
