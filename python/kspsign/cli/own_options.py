"""The options of commands that have other settings than those of a run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from kspsign.cli.options import add_config, add_field
from kspsign.settings.model import Settings


def add_own_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Give `parser` the options of `command`."""
    if command in {"gate", "reconcile"}:
        _add_own_settings(parser, command)
    else:
        _add_arguments(parser, command)


def _add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """The arguments of a command without settings."""
    if command == "inspect":
        parser.add_argument("files", nargs="+", metavar="FILE", help="file, folder or pattern; several at will")
        parser.add_argument("--trust-root", type=Path, action="append", metavar="PEM", help="roots to trust instead")
        add_field(parser, "inside", Settings.model_fields["inside"])
        parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    elif command == "report":
        parser.add_argument("file", type=Path, metavar="REPORT", help="JSON report of a run")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write the HTML page instead")
        parser.add_argument("--open", action="store_true", help="show the page in the browser")
    elif command == "explain":
        parser.add_argument("words", nargs="+", metavar="CODE|TEXT", help="0x800B0100, a line of output, - for stdin")
    elif command == "demo":
        parser.add_argument(
            "folder", type=Path, nargs="?", metavar="DIR", help="folder for the results (default: demo)"
        )
    elif command == "completion":
        from kspsign.cli.completion import SHELLS  # noqa: PLC0415 - of this command alone

        parser.add_argument(
            "shell", choices=tuple(SHELLS), metavar=_choice(SHELLS), help="bash, zsh, fish or powershell"
        )
    elif command == "help":
        parser.add_argument("about", nargs="?", metavar="COMMAND", help="the command; none lists all of them")
    elif command == "schema":
        schemas = (
            "config",
            "digest",
            "doctor",
            "inspect",
            "key-command",
            "ledger",
            "policy",
            "reconciliation",
            "report",
        )
        parser.add_argument("what", choices=schemas, metavar=_choice(schemas), help="which schema to print")


def _choice(values: Iterable[str]) -> str:
    """The values of an argument, as help shows them: with these for its name, an error names them too."""
    return f"{{{','.join(values)}}}"


def _add_own_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """The options of a command with settings of its own."""
    if command == "gate":
        from kspsign.gate.settings import GATE_INTERNAL_FIELDS, GateSettings  # noqa: PLC0415 - of this command alone

        add_config(parser, default="none")
        fields, internal = GateSettings.model_fields, GATE_INTERNAL_FIELDS
    else:
        from kspsign.reconciliation.settings import RECONCILE_INTERNAL_FIELDS, ReconcileSettings  # noqa: PLC0415 - same

        fields, internal = ReconcileSettings.model_fields, RECONCILE_INTERNAL_FIELDS
    for name in (field for field in fields if field not in internal):
        add_field(parser, name, fields[name])
