"""Commands and options that there are not, and secrets among the arguments. No value is repeated: it may be one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence

from kspsign.cli.options import SUMMARIES
from kspsign.model.errors import ConfigurationError
from kspsign.model.suggest import did_you_mean

_SECRET = re.compile(r"^p$|pass|pwd|(^|-)(pin?($|-)|tok|secr?|cred)|secret|api-?key|login", re.IGNORECASE)
_OF_ALL = frozenset({"-h", "--help", "-V", "--version"})
_INSIDE = "A pattern of --inside follows a =: --inside='app.msix/**/*.dll'. "
_HELP = "`kspsign --help` lists the commands, `kspsign COMMAND --help` the options of one."


def check_command(arguments: Sequence[str]) -> None:
    """Raises ConfigurationError where `arguments` don't begin with a command, or hold SignTool's /p (password)."""
    if "/p" in arguments:
        raise _no_such_option(["/p"], ())
    first = next(iter(arguments), "")
    if first.startswith("-") and first not in _OF_ALL:
        raise _no_such_option([_name(first)], ())
    if first and not first.startswith("-") and first not in SUMMARIES:
        known = (name for name, summary in SUMMARIES.items() if summary is not None)
        raise ConfigurationError(
            "the first argument is not a command of kspsign", remedy=f"{did_you_mean(first, known)}{_HELP}"
        )


def unknown_arguments(parser: argparse.ArgumentParser, command: str, unknown: Sequence[str]) -> ConfigurationError:
    """The error for arguments that `command` does not take."""
    names = [_name(argument) for argument in unknown if argument.startswith("-") and argument != "--"]
    if names:
        return _no_such_option(names, tuple(_options(parser, command)))
    return ConfigurationError(
        f"`kspsign {command}` takes no further argument ({len(unknown)} too many)",
        remedy="Write all patterns or files in one place, before the options or after them, and values with blanks in "
        f"quotation marks. {_INSIDE if '--inside' in _options(parser, command) else ''}{_HELP}",
    )


def _no_such_option(names: Sequence[str], known: Sequence[str]) -> ConfigurationError:
    secret = next((name for name in names if _SECRET.search(name.lstrip("-/"))), None)
    near = did_you_mean((secret or names[0]).lstrip("-"), (name.lstrip("-") for name in known))
    near = re.sub(r"(mean|or) (?=\S)", r"\1 --", near)
    if secret is not None:
        return ConfigurationError(
            f"there is no option {secret}: kspsign takes no secret as an argument, where the process list and logs "
            "show it",
            code="SECRET_ARGUMENT",
            remedy=f"{near}Put the secret into an environment variable, and name the variable: --password-env NAME "
            "(PKCS#12), --pkcs11-pin-env NAME (token). What was given may have been seen: replace it.",
        )
    return ConfigurationError(f"there is no option {', '.join(dict.fromkeys(names))}", remedy=f"{near}{_HELP}")


def _name(argument: str) -> str:
    """The option without its value: --name of --name=value, -n of -nvalue."""
    return argument.partition("=")[0] if argument.startswith("--") else argument[:2]


def _options(parser: argparse.ArgumentParser, command: str) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse names its options nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            for option in action.choices[command]._actions:  # noqa: SLF001 - likewise
                yield from (name for name in option.option_strings if name.startswith("--"))
