"""The grammar of smctl's command line (DigiCert's SMCTL command manual): words, then flags as Go's pflag reads them.

A flag's value follows it (`--input FILE`, `-i FILE`) or is joined to it (`--input=FILE`, `-iFILE`). A switch takes
a value only when it is joined: `--timestamp=false`. Letters of switches may be joined: `-vq`. `--` ends the flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kspsign.model.errors import ConfigurationError
from kspsign.model.suggest import did_you_mean

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What pflag takes for a switch (strconv.ParseBool of Go)."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a command. `values` are the only ones that it takes, if any are named."""

    name: str
    help: str
    letter: str = ""
    switch: bool = False
    values: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The flag as help shows it, such as `-i, --input string`."""
        letter = f"-{self.letter}, " if self.letter else "    "
        return f"{letter}--{self.name}{'' if self.switch else ' string'}"


HELP: Final = Flag("help", "show this help", "h", switch=True)


@dataclass(frozen=True, slots=True)
class ParsedFlags:
    """The flags and the further arguments of a command; a switch is "true" or "false"."""

    values: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    def text(self, name: str) -> str | None:
        """The value of a flag, None when it is missing or empty."""
        return self.values.get(name) or None

    def is_on(self, name: str, *, default: bool = False) -> bool:
        """Whether a switch is on."""
        return self.values.get(name, "true" if default else "false") == "true"


def parse(flags: Iterable[Flag], arguments: Sequence[str]) -> ParsedFlags:
    """What `arguments` give to a command with these flags.

    Raises ConfigurationError in smctl's words; no value is repeated, since it may be a secret.
    """
    named = {flag.name: flag for flag in (*flags, HELP)}
    lettered = {flag.letter: flag for flag in named.values() if flag.letter}
    values: dict[str, str] = {}
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += waiting
        elif argument.startswith("--"):
            name, joined, value = argument[2:].partition("=")
            flag = named.get(name)
            if flag is None:
                raise _unknown(f"unknown flag: --{name}", name, named)
            values[flag.name] = _value(flag, value if joined else None, waiting, f"--{name}")
        elif argument.startswith("-") and len(argument) > 1:
            values.update(_short(argument[1:], lettered, waiting))
        else:
            rest.append(argument)
    return ParsedFlags(values, tuple(rest))


def _short(letters: str, lettered: Mapping[str, Flag], waiting: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The flags of one argument: switches, of which the last may be a flag with its value."""
    for place, letter in enumerate(letters):
        flag = lettered.get(letter)
        if flag is None:
            raise _unknown(f"unknown shorthand flag: '{letter}'", "", {})
        joined = letters[place + 1 :]
        if flag.switch and not joined.startswith("="):
            yield flag.name, "true"
            continue
        yield flag.name, _value(flag, joined.removeprefix("=") if joined else None, waiting, f"-{letter}")
        return


def _value(flag: Flag, joined: str | None, waiting: Iterator[str], shown: str) -> str:
    if flag.switch:
        if joined is None or joined in _TRUE:
            return "true"
        if joined in _FALSE:
            return "false"
        raise ConfigurationError(
            f"the flag {shown} is neither true nor false", remedy=f"{shown}=true or {shown}=false."
        )
    value = next(waiting, None) if joined is None else joined
    if value is None:
        raise ConfigurationError(f"flag needs an argument: {shown}", remedy=f"Write {shown} VALUE.")
    if flag.values and value.lower() not in map(str.lower, flag.values):
        raise ConfigurationError(
            f"the value of {shown} is not one of {', '.join(flag.values)}", remedy=f"Give one of them to {shown}."
        )
    return value


def _unknown(message: str, name: str, named: Iterable[str]) -> ConfigurationError:
    near = did_you_mean(name, named) if name else ""
    return ConfigurationError(message, remedy=f"{near}--help lists the flags of the command.")
