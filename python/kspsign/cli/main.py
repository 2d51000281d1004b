"""The entry point: parses arguments, runs the command, sets the exit code. Imports are late, for start-up time."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kspsign.model.version import VERSION

if TYPE_CHECKING:
    from kspsign.keys.table import StoreEntry
    from kspsign.settings.context import Caller

EXIT_UNEXPECTED = 1
EXIT_USAGE = 3
EXIT_CANCELLED = 130
LEAST_MEMORY = 128 << 20
"""Bytes of address space with which one file of any size is verified."""
LEAST_TO_SIGN = 192 << 20
"""Likewise signed: TLS and the threads that wait for services need more."""
_SIGNING = frozenset({"run", "sign", "timestamp", "demo", "signtool", "smctl"})
COLLECTED_AT = 100_000
"""New objects after which the interpreter looks for cycles: modules and their classes are as many, and all of them stay
(the default of 700 looks through them a hundred times during a start)."""


def entry() -> None:
    """The console script."""
    gc.set_threshold(COLLECTED_AT)
    exit_code = main(sys.argv[1:])
    gc.freeze()  # the interpreter need not look for cycles in what ends with it
    sys.exit(exit_code)


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is that of the design's table (README.md)."""
    if list(arguments) in (["--version"], ["-V"], ["version"]):
        sys.stdout.write(f"kspsign {VERSION}\n")
        return 0
    if not arguments:
        build_parser("help").print_help()
        return EXIT_USAGE
    if arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    try:
        return _execute(arguments)
    except KeyboardInterrupt:
        # Before there is anything to undo: later the signal sets what the stages look at.
        return EXIT_CANCELLED


def _execute(arguments: Sequence[str]) -> int:
    # pydantic would search every installed package for plugins, and hand them the settings.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from kspsign.cli import commands  # noqa: PLC0415 - --version must not pay for it
    from kspsign.cli.drop_in import DROP_INS, run_drop_in  # noqa: PLC0415 - likewise
    from kspsign.model.errors import KspSignError  # noqa: PLC0415 - --version must not pay for it

    try:
        _check_memory(arguments)
        if arguments[0] in DROP_INS:
            return run_drop_in(arguments, os.environ)
        given = vars(parse(arguments))
        return commands.execute(given.pop("command"), given, os.environ)
    except KspSignError as error:
        from kspsign.publishing.fatal import report_error  # noqa: PLC0415 - --version must not pay for it

        report_error(error, _caller(arguments))
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output went away.
        _drop_output()
        return EXIT_CANCELLED
    except Exception as unexpected:  # noqa: BLE001 - the last place that can say what to do
        _drop_output()
        from kspsign.publishing.fatal import report_unexpected  # noqa: PLC0415 - --version must not pay for it

        report_unexpected(unexpected)
        return EXIT_UNEXPECTED


def _caller(arguments: Sequence[str]) -> Caller:
    """Who started the command: the task and the action have commands of their own."""
    first = arguments[0] if arguments else ""
    return "task" if first == "task" else "action" if first == "action" else "cli"


def _check_memory(arguments: Sequence[str]) -> None:
    """Raise MemoryError under a limit that libraries meet by ending the process, with no word."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - POSIX has it

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        least = LEAST_TO_SIGN if _SIGNING.intersection(arguments[:1]) else LEAST_MEMORY
        if limit != resource.RLIM_INFINITY and limit < least:
            raise MemoryError(f"the limit is {limit >> 20} MiB of address space, {least >> 20} MiB are needed")


def _drop_output() -> None:
    """What is left to flush at exit has nowhere to go."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as the process


_EPILOG = """\
examples:
  kspsign demo                        sign and verify real Windows programs with throw-away keys
  kspsign run "out/**/*.exe" "out/**/*.dll" --key-store keylocker --keypair-alias release
  kspsign verify "out/**/*.msi"       say whether Windows would trust every file

`kspsign COMMAND --help` lists the options of one command.

exit codes: 0 all verified, 1 some not signed, 2 not verified, 3 bad arguments, 4 no file matched,
            5 prerequisite missing, 6 none signed, 7 the gate refuses, 8 a use of the key without a build, 130 cancelled
"""


def _usage(command: str) -> str | None:
    """The first line of help and of a refusal, where all the options would fill a screen."""
    from kspsign.cli.options import FIELDS  # noqa: PLC0415 - --version must not pay for it

    patterns = " PATTERN..." if "files" in FIELDS.get(command, ()) else ""
    return f"kspsign {command}{patterns} [OPTIONS]" if command in FIELDS else None


class _Parser(argparse.ArgumentParser):
    """argparse with our exit code for wrong arguments, and no abbreviations: `--pass` must not mean --password-env."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options.

    Most runs need the options of the key store that is named. Where that is not enough, those of every built-in store
    are loaded, then those of other packages. Raises ConfigurationError for a command or option that there is not, and
    for a secret among the arguments; PrerequisiteError when an unknown option may belong to a package that can't be
    loaded.
    """
    from kspsign.cli.options import SUMMARIES, with_values  # noqa: PLC0415 - --version must not pay for it
    from kspsign.cli.unknown import check_command, unknown_arguments  # noqa: PLC0415 - --version must not pay for it
    from kspsign.keys.table import STORES, StoreEntry  # noqa: PLC0415 - --version must not pay for it

    check_command(arguments)
    arguments = with_values(arguments)
    chosen = next((argument for argument in arguments if argument in SUMMARIES), None)
    built_in = list(STORES.entries.values())
    if not {"-h", "--help"} & set(arguments):
        for stores in ([entry for entry in built_in if entry.name in arguments], built_in):
            given, unknown = build_parser(chosen, stores, alone=chosen is not None).parse_known_args(arguments)
            if not unknown:
                return given
    found = [entry for _name, entry in STORES.installed_entries()]
    parser = build_parser(chosen, [*built_in, *(entry for entry in found if isinstance(entry, StoreEntry))])
    given, unknown = parser.parse_known_args(arguments)
    broken = next((entry for entry in found if not isinstance(entry, StoreEntry)), None)
    if unknown:
        raise broken if broken is not None else unknown_arguments(parser, given.command, unknown)
    return given


def build_parser(
    chosen: str | None = None, stores: Sequence[StoreEntry] | None = None, *, alone: bool = False
) -> argparse.ArgumentParser:
    """Every command with its options, or only `chosen` with some; of `stores`, else of every built-in key store.

    With `alone` no other command is added: enough to parse a call of that one, but not for the help.
    """
    from kspsign.cli.options import SUMMARIES, add_options  # noqa: PLC0415 - --version must not pay for it
    from kspsign.keys.table import STORES  # noqa: PLC0415 - --version must not pay for it

    offered = [*STORES.entries.values()] if stores is None else stores
    parser = _Parser(
        prog="kspsign",
        description="Signs the files of a build, verifies every signature, and publishes the result.",
        usage="kspsign COMMAND [OPTIONS]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"kspsign {VERSION}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="kspsign", parser_class=_Parser
    )
    for name, summary in SUMMARIES.items():
        if alone and name != chosen:
            continue
        # A command without help is not listed.
        known: dict[str, Any] = {} if summary is None else {"help": summary}
        command = commands.add_parser(
            name, description=summary, argument_default=argparse.SUPPRESS, usage=_usage(name), **known
        )
        if chosen in {None, name}:
            add_options(command, name, offered)
    return parser
