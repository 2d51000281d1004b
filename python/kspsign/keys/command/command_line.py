"""What is run: the program with its arguments, what it gets of the environment, and what is masked of its words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pydantic import SecretStr

from kspsign.keys.command.options import CommandOptions
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.programs.locate import find_program

_SHORTEST_SECRET = 4
_BATCH = (".bat", ".cmd")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A program by its absolute path, and `arguments` as they are; no shell reads them.

    `environment` is all that it gets, `secrets` are the values in it that are never shown.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, options: CommandOptions, surroundings: Surroundings) -> Self:
        """What the options name. Raises ConfigurationError, PrerequisiteError when there is no such program."""
        if options.key_command is None:
            raise ConfigurationError(
                "key store command needs the program",
                remedy="Name it with --key-command, and its arguments with --key-command-arg.",
            )
        found = find_program(options.key_command, surroundings)
        if found is None:
            raise PrerequisiteError(
                f"the program {options.key_command} was not found, or may not be run",
                code="COMMAND_MISSING",
                remedy="Correct --key-command: a path, or the name of a program on PATH.",
            )
        return cls.named(str(found), options.key_command_arg, options, surroundings)

    @classmethod
    def named(
        cls, program: str, arguments: tuple[str, ...], options: CommandOptions, surroundings: Surroundings
    ) -> Self:
        """This program with the variables that the options name. Raises ConfigurationError."""
        if sys.platform == "win32" and program.lower().endswith(_BATCH):
            raise ConfigurationError(
                f"{program} is a batch file: Windows runs it in a shell, which reads arguments as commands",
                remedy="Name the program itself with --key-command, such as python.exe or pwsh.exe, and the script "
                "with --key-command-arg.",
            )
        named = _named(options, surroundings.environment)
        secrets = tuple(
            sorted(
                {part for value in named.values() for part in (value, *value.splitlines()) if is_long_enough(part)},
                key=len,
                reverse=True,
            )
        )
        if any(secret in argument for secret in secrets for argument in arguments):
            raise ConfigurationError(
                "an argument of the key command (--key-command-arg) holds the value of one of its variables: every "
                "user of the machine can read arguments",
                remedy="Have the program read the variable that --key-command-env names.",
            )
        return cls(program, arguments, {**surroundings.agent_environment, **named}, secrets)

    @property
    def words(self) -> list[str]:
        """The argument list."""
        return [self.program, *self.arguments]

    def mask(self, text: str) -> str:
        """`text` without what is secret in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def is_long_enough(value: str) -> bool:
    """Whether a value can be masked without hiding ordinary words."""
    return len(value) >= _SHORTEST_SECRET


def missing_variables(options: CommandOptions, environment: Mapping[str, SecretStr]) -> tuple[str, ...]:
    """The variables that are named for the program and not set."""
    return tuple(name for name in options.key_command_env if name not in environment)


def _named(options: CommandOptions, environment: Mapping[str, SecretStr]) -> dict[str, str]:
    if lacking := missing_variables(options, environment):
        shown = [name if name.isidentifier() and name.upper() == name else "(not shown)" for name in lacking]
        raise ConfigurationError(
            f"variables that --key-command-env names are not set: {', '.join(shown)}",
            remedy="Map each into the step: env: { NAME: $(yourSecret) }; --key-command-env takes names, never values.",
        )
    return {name: environment[name].get_secret_value() for name in options.key_command_env}
