"""Runs the command line of SignTool: one command, or those of a response file; exit codes 0, 1 and 2 are SignTool's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kspsign.cli.signtool.grammar import Call, parse_call, split_lines
from kspsign.cli.signtool.speech import EXIT_DONE, EXIT_ERROR, EXIT_WARNING, Speech, open_speech
from kspsign.model.errors import CancelledError, KspSignError
from kspsign.model.load import load

COMMANDS: Final[Mapping[str, str]] = {
    "sign": "kspsign.cli.signtool.sign:sign",
    "timestamp": "kspsign.cli.signtool.timestamp:timestamp",
    "verify": "kspsign.cli.signtool.verify:verify",
    "remove": "kspsign.cli.signtool.remove:remove",
}
"""The function of each command, loaded when it is called."""


def run_signtool(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command line of SignTool in `arguments`; returns 0, 1 for errors, 2 for warnings, 130 when cancelled."""
    try:
        calls = split_lines(arguments)
    except KspSignError as error:
        return _refuse(error)
    codes = [_run(call, environment) for call in calls or ((),)]
    return max(codes, key=(EXIT_DONE, EXIT_WARNING, EXIT_ERROR, CancelledError.exit_code).index)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        call = parse_call(arguments)
    except KspSignError as error:
        return _refuse(error)
    if isinstance(call, str):
        from kspsign.cli.signtool.usage import usage  # noqa: PLC0415 - few calls ask for it

        if not arguments:
            sys.stderr.write("SignTool Error: A required parameter is missing.\n")
        sys.stderr.writelines(f"{line}\n" for line in usage(call))
        return EXIT_DONE if arguments else EXIT_ERROR
    speech = open_speech(call)
    run: Callable[[Call, Mapping[str, str], Speech], None] = load(COMMANDS[call.command])
    try:
        run(call, environment, speech)
    except CancelledError as cancelled:
        return cancelled.exit_code
    except KspSignError as error:
        speech.refuse(error)
    return speech.exit_code


def _refuse(error: KspSignError) -> int:
    """A command line that can't be read."""
    speech = open_speech(Call("", {}, ()))
    speech.refuse(error)
    return speech.exit_code
