"""The commands and their options, derived from the settings models."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from kspsign.cli.option_groups import GROUPS, group_of
from kspsign.keys.table import STORES, StoreEntry
from kspsign.settings.commands import STORE_OPTION_COMMANDS, UNAMBIENT_COMMANDS
from kspsign.settings.faults import option_name
from kspsign.settings.model import COMMAND_LINE_FIELDS, INTERNAL_FIELDS, OUTPUTS, Settings
from kspsign.settings.store_options import AloneMeans, Metavar, StoreOptions, marker, options_of

_OUTPUT = (*OUTPUTS, "quiet", "verbose")
_UNPROVED = ("report", "quiet", "verbose")
"""Of commands that verify nothing: JUnit results and summary are those of a verification."""
_RESULTS = (*_OUTPUT, "publish_token_env")
_KEY = ("key_store", "thumbprint", "store", "signtool", "smctl", "navsip", "tool_env")
_ALL = tuple(name for name in Settings.model_fields if name not in INTERNAL_FIELDS)
_CATALOGUE = ("hardware_id", "os_attribute")
_SIGNING = tuple(
    name for name in _ALL if name not in {"shadow", "catalog", "output", *_CATALOGUE, *COMMAND_LINE_FIELDS}
)
_OF_FILES = frozenset(
    {
        *("page_hashes", "crlf", "inside", "provenance", "append", "replace", "skip_signed"),
        *("slice", "dry_run", "fail_fast", "publish_token_env"),
    }
)
"""Settings of runs that sign the files themselves."""

SUMMARIES: dict[str, str | None] = {
    "run": "certsync -> sign -> verify -> publish (what the task runs)",
    "certsync": "fetch the certificate to this agent; the last line of stdout is its thumbprint",
    "sign": "sign and verify, publish nothing",
    "timestamp": "add a timestamp to signatures that lack one",
    "remove": "take the signatures out of files",
    "extract": "write the signatures of files to files of their own",
    "attach": "put signatures made elsewhere into their files, verified first",
    "digest": "write what must be signed, for a machine that has the key and not the files",
    "verify": "strict verification",
    "catalog": "write a catalogue of files, and sign it",
    "merge": "one report and one verdict from the reports of all slices",
    "report": "show a report in the terminal, or write it as an HTML page",
    "inspect": "show the signatures of files, with chains and timestamps",
    "doctor": "check every prerequisite of a run, each with its remedy; signs nothing",
    "explain": "explain an error code or a tool's output, and what to do",
    "gate": "ask Azure DevOps whether a build's verdict permits a release",
    "reconcile": "match every use of a key in its log with a file and a build",
    "signtool": "SignTool's command line: sign, timestamp, verify, remove",
    "shims": "write launchers named signtool and smctl, for build tools that start these programs",
    "smctl": "smctl's command line: healthcheck, windows certsync, keypair ls, certificate download, sign",
    "demo": "sign and verify real Windows executables with throw-away keys",
    "completion": "print the script that completes commands and options in your shell",
    "schema": "JSON schema of kspsign.yml, policy, report, ledger, digest document; of what doctor and inspect print",
    "help": "show the help of a command",
    "version": "print the version",
    "action": None,  # how the GitHub action starts the engine: its inputs in one variable
    "task": None,  # how the Azure Pipelines task starts the engine: a document on standard input
}
FIELDS: dict[str, tuple[str, ...]] = {
    "run": _SIGNING,
    "certsync": (*_KEY, "ca_file", "quiet", "verbose"),
    "sign": (*(name for name in _SIGNING if name != "publish_token_env"), "document", "output"),
    "timestamp": (
        *("files", "folder", "timestamp_url", "timestamp_jobs", "timestamp_limit", "digest", "trust_root"),
        *("fail_fast", "ca_file"),
        *_OUTPUT,
    ),
    "remove": ("files", "folder", "fail_fast", *_UNPROVED),
    "extract": ("files", "folder", "output", "pem", "fail_fast", *_UNPROVED),
    "attach": (
        *("files", "folder", "signature", "document", "append", "replace"),
        *("trust_root", "no_timestamp", "revocation", "ca_file", "fail_fast"),
        *_OUTPUT,
    ),
    "digest": (
        *("files", "folder", "output", "signer", "digest", "description", "description_url", "page_hashes"),
        *("append", "replace", "fail_fast"),
        *_UNPROVED,
    ),
    "doctor": (
        *("files", "folder", *_KEY, "engine", "digest", "timestamp_url", "no_timestamp", "trust_root", "ca_file"),
        *("ledger", "max_signatures_per_month"),
    ),
    "verify": (
        "files",
        "folder",
        "trust_root",
        "policy",
        "provenance",
        "catalog",
        "inside",
        "revocation",
        "ca_file",
        "no_timestamp",
        "signtool_verify",
        "signtool",
        "slice",
        *_RESULTS,
    ),
    "catalog": (*(name for name in _SIGNING if name not in _OF_FILES), "output", *_CATALOGUE),
    "merge": ("files", "folder", "policy", "ca_file", *_RESULTS),
    "shims": (
        *("key_store", "thumbprint", "engine", "store", "digest", "description", "description_url", "page_hashes"),
        *("timestamp_url", "no_timestamp", "timestamp_mode", "timestamp_jobs", "timestamp_limit"),
        *("trust_root", "revocation", "signtool_verify", "max_signatures", "jobs", "journal", "signature_cache"),
        *("ledger", "max_signatures_per_month"),
        *("signtool", "smctl", "navsip", "tool_env", "ca_file", "shadow"),
    ),
}


def settings_fields(stores: Iterable[StoreEntry] = ()) -> dict[str, FieldInfo]:
    """Every setting that users may give, flat: of any run, of the built-in key stores, and of `stores`."""
    fields = {name: Settings.model_fields[name] for name in _ALL}
    for entry in (*STORES.entries.values(), *stores):
        fields = {**options_of(entry.load_options()), **fields}
    return fields


def with_values(arguments: Sequence[str]) -> list[str]:
    """The command line with the value of every option that has one when it is given alone."""
    alone = {
        option_name(name): found.text
        for name, field in Settings.model_fields.items()
        if (found := marker(field, AloneMeans)) is not None
    }
    return [f"{word}={alone[word]}" if word in alone else word for word in arguments]


def add_options(parser: argparse.ArgumentParser, command: str, stores: Sequence[StoreEntry]) -> None:
    """Give `parser` the options of `command`; `stores` are the key stores that are offered."""
    if command in FIELDS:
        _add_settings(parser, command, stores)
    else:
        from kspsign.cli.own_options import add_own_options  # noqa: PLC0415 - of few commands

        add_own_options(parser, command)


def _add_settings(parser: argparse.ArgumentParser, command: str, stores: Sequence[StoreEntry]) -> None:
    """The options of a command that works on files: of any run, and of the key stores if it opens one."""
    add_config(parser, default="none" if command in UNAMBIENT_COMMANDS else "harmless settings of kspsign.yml")
    if command == "shims":
        parser.add_argument("target", type=Path, metavar="FOLDER", help="folder for the launchers and their settings")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name in sorted(FIELDS[command], key=_place):
        field, title = Settings.model_fields[name], group_of(name)
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        if name == "files":
            groups[title].add_argument(name, nargs="*", metavar="PATTERN", help=_help(field, ""))
        else:
            note = ", ".join(entry.name for entry in stores) if name == "key_store" else ""
            add_field(groups[title], name, field, note=note)
    if command in STORE_OPTION_COMMANDS:
        _add_store_options(parser, stores)
    if command == "verify":
        parser.add_argument("--json", action="store_true", help="print the report as JSON (the same as --report -)")
    if command == "doctor":
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _place(name: str) -> int:
    """Settings in the order of their groups."""
    return [*GROUPS].index(group_of(name)) if group_of(name) in GROUPS else len(GROUPS)


def add_config(parser: argparse.ArgumentParser, *, default: str) -> None:
    """The option that names a configuration file; `default` says what is read without it."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"configuration file (default: {default})")


def _add_store_options(parser: argparse.ArgumentParser, stores: Sequence[StoreEntry]) -> None:
    """The options of the key stores: those of all, those of several, then a group for each store."""
    holders: dict[str, list[StoreEntry]] = {}
    fields: dict[str, FieldInfo] = options_of(StoreOptions)
    for entry in stores:
        for name, field in options_of(entry.load_options()).items():
            holders.setdefault(name, []).append(entry)
            fields.setdefault(name, field)
    everywhere = parser.add_argument_group("any key store")
    several = parser.add_argument_group("several key stores")
    for name, field in fields.items():
        if name in StoreOptions.model_fields:
            if name not in Settings.model_fields:
                add_field(everywhere, name, field)
        elif len(holders[name]) > 1:
            add_field(several, name, field, note=", ".join(entry.name for entry in holders[name]))
    for entry in stores:
        own = [name for name, others in holders.items() if others == [entry] and name not in StoreOptions.model_fields]
        if own:
            group = parser.add_argument_group(f"key store {entry.name}", entry.title)
            for name in own:
                add_field(group, name, fields[name])


def add_field(parser: argparse._ActionsContainer, name: str, field: FieldInfo, *, note: str = "") -> None:
    """One option from one field: its type gives the form, its description the help; `note` says whose it is."""
    text = _help(field, note)
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not type(None)]
    if kinds == [bool]:
        parser.add_argument(option_name(name), action="store_true", help=text)
        # Against a configuration file; not listed, since every switch has one.
        parser.add_argument(_opposite(name), dest=name, action="store_false", help=argparse.SUPPRESS)
    elif get_origin(kinds[0]) is Literal:
        parser.add_argument(option_name(name), choices=get_args(kinds[0]), help=text)
    elif get_origin(kinds[0]) is tuple:
        parser.add_argument(option_name(name), action="append", metavar=_metavar(field, kinds[0]), help=text)
    elif name == "key_store":
        parser.add_argument(option_name(name), type=_store_name, metavar=_metavar(field, str), help=text)
    else:
        kind = int if kinds == [int] else str
        short = ("-o",) if name == "output" else ()
        parser.add_argument(*short, option_name(name), type=kind, metavar=_metavar(field, kinds[0]), help=text)


def _opposite(name: str) -> str:
    """The option that switches off what `name` switches on: --no-append, and --timestamp for no_timestamp."""
    return option_name(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


def _help(field: FieldInfo, note: str) -> str:
    text = field.description or ""
    default = field.get_default()
    if isinstance(default, (str, int)) and not isinstance(default, bool):
        text += f" (default: {default})"
    return f"{text}{f' [{note}]' if note else ''}".replace("%", "%%")


def _metavar(field: FieldInfo, kind: Any) -> str:
    """What the field says, else what its type does."""
    said = marker(field, Metavar)
    if said is not None:
        return f"[={said.text}]" if marker(field, AloneMeans) is not None else said.text
    if kind is int:
        return "N"
    return "FILE" if Path in {kind, *get_args(kind)} else "VALUE"


def _store_name(text: str) -> str:
    """A name of a key store, for argparse."""
    if text not in STORES.entries and text not in STORES.entry_points:
        raise argparse.ArgumentTypeError(STORES.unknown(text))
    return text


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
