"""A step of a pipeline: the documents by which the task and the action start the engine, and what they ask for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from kspsign.cli.commands import examine, named, perform_settings
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.commands import COMMAND_LINE_COMMANDS, Command
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings, in_temp_folder
from kspsign.settings.resolve import resolve
from kspsign.settings.unmapped import in_text, refuse_unmapped


def run_task(environment: Mapping[str, str]) -> int:
    """Run what the task asks for; returns the exit code. Its document is on standard input: version, command, inputs,
    secrets, variables."""
    try:
        document = json.load(sys.stdin.buffer)
        command, inputs = document["command"], document["inputs"]
        secrets, variables = document["secrets"], {**document["variables"], "TF_BUILD": "True"}
    except (ValueError, TypeError, KeyError) as broken:
        raise ConfigurationError(
            "standard input does not hold a document of the KspSign task",
            remedy="`kspsign task` is for the task alone; call `kspsign run`.",
        ) from broken
    context = RunContext.from_environment(variables, is_tty=False)._replace(caller="task")
    _check_mapped(context, command=command, config=inputs.get("config"))
    config = _config_input(inputs.pop("config", None))

    step = {**variables, **environment}

    def settings() -> Settings:
        return resolve(
            _known(command), {}, inputs=inputs, config=config, environment=step, secrets=secrets, stores=STORES
        )

    return _step(command, settings, context, step)


def run_action(environment: Mapping[str, str]) -> int:
    """Likewise for the action: its inputs and the variables that may be secret are on standard input."""
    from kspsign.cli.github_action import read_document  # noqa: PLC0415 - only this command needs it

    document = read_document(sys.stdin.buffer.read(), environment)
    fields, step = dict(document.settings), {**environment, **document.variables}
    context = RunContext.from_environment(environment, is_tty=False)._replace(caller="action")
    _check_mapped(context, command=document.command, config=fields.get("config"))
    config = _config_input(fields.pop("config", None))

    def settings() -> Settings:
        known = _known(document.command)
        return resolve(known, fields, config=config, environment=step, secrets=document.secrets, stores=STORES)

    return _step(document.command, settings, context, step)


def _step(command: str, settings: Callable[[], Settings], context: RunContext, environment: Mapping[str, str]) -> int:
    """A command of the task or the action, whose step has this environment."""
    if command == "doctor":
        return examine(settings, context)
    given = settings()
    if command == "shims":
        from kspsign.cli.shims.command import step_folder, write_shims  # noqa: PLC0415 - only this command needs it

        return write_shims(step_folder(context), given, context, environment)
    if command == "inspect":
        from kspsign.cli.inspect import inspect_files  # noqa: PLC0415 - only this command needs it
        from kspsign.publishing import prepared  # noqa: PLC0415 - likewise

        return inspect_files(in_temp_folder(given, context.temp_folder), prepared(None, context))
    return perform_settings(given, context)


def _check_mapped(context: RunContext, **inputs: object) -> None:
    """Raises ConfigurationError where one of the inputs that are not settings is an unreplaced macro."""
    refuse_unmapped([found for name, text in inputs.items() for found in in_text(name, str(text))], context.surface)


def _config_input(given: object) -> Path | None:
    """The task's and the action's input `config`: the only configuration file that they read."""
    if given is None:
        return None
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError("the input config is not the path of a file", remedy="Correct it, or leave it empty.")
    return Path(given.strip())


def _known(command: str) -> Command:
    if command == "inspect":
        return "verify"  # the same settings
    return named(command, [name for name in get_args(Command) if name not in COMMAND_LINE_COMMANDS])
