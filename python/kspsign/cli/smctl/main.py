"""Runs one command of smctl and prints errors in its form: `Error: CAUSE` on standard error, exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from kspsign.cli.smctl.grammar import HELP, ParsedFlags, parse
from kspsign.cli.smctl.verbs import EXIT_FAILED, VERBS, Verb, find_verb
from kspsign.model.errors import CancelledError, KspSignError
from kspsign.model.load import load
from kspsign.model.version import VERSION
from kspsign.publishing.sanitize import log_line


def run_smctl(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command line of smctl in `arguments`; returns 0, 1 for every failure, 130 when cancelled."""
    try:
        return _run(arguments, environment, sys.stdout)
    except CancelledError as cancelled:
        return cancelled.exit_code
    except KspSignError as error:
        report_error(error, sys.stderr)
        return EXIT_FAILED


def report_error(error: KspSignError, out: TextIO) -> None:
    """An error in smctl's form, with our remedy after it."""
    out.write(f"Error: {log_line(str(error))}\n  remedy: {log_line(error.remedy)}\n")


def _run(arguments: Sequence[str], environment: Mapping[str, str], out: TextIO) -> int:
    if list(arguments) in (["-v"], ["--version"]):
        out.write(f"smctl version {VERSION} (kspsign)\n")
        return 0
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        out.writelines(f"{line}\n" for line in _overview())
        return 0
    words, verb, rest = find_verb(arguments)
    given: ParsedFlags = parse(verb.flags, rest)
    if given.is_on(HELP.name):
        out.writelines(f"{line}\n" for line in _help(words, verb))
        return 0
    code: int = load(verb.runner)(given, environment, out)
    return code


def _overview() -> Iterator[str]:
    yield "smctl's command line, by kspsign: keys of DigiCert KeyLocker and Software Trust Manager on any system."
    yield ""
    yield "Usage:"
    yield "  smctl COMMAND [flags]"
    yield ""
    yield "Commands:"
    for words, verb in VERBS.items():
        yield f"  {' '.join(words):24}{verb.summary}"


def _help(words: Sequence[str], verb: Verb) -> Iterator[str]:
    yield verb.summary
    yield ""
    yield "Usage:"
    yield f"  smctl {' '.join(words)}{f' [{verb.argument}]' if verb.argument else ''} [flags]"
    yield ""
    yield "Flags:"
    for flag in (*verb.flags, HELP):
        yield f"  {flag.usage:34}{flag.help}"
