"""What each command does with its options; the options come from the settings model."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from kspsign.context import RunContext
from kspsign.errors import ConfigurationError
from kspsign.resolving import resolve
from kspsign.settings import INTERNAL_FIELDS, Command, Settings, option_name

_OUTPUT = ("report", "junit", "summary", "quiet", "verbose")
_RESULTS = (*_OUTPUT, "publish_token_env")
_TOOLS = ("signtool", "smctl", "navsip", "tool_env")
_KEY = (
    *("key_store", "keypair_alias", "thumbprint", "pkcs12", "password_env", "store"),
    *("key_identifier", "azure_credential", "azure_tenant_id", "azure_client_id", "azure_connection_id", "no_aia"),
    *("pkcs11_module", "pkcs11_token", "pkcs11_slot", "pkcs11_key_id", "pkcs11_pin_env"),
    *("csp", "certificate", "certificate_store", "account_id", *_TOOLS),
)
_ALL = tuple(name for name in Settings.model_fields if name not in INTERNAL_FIELDS)

SUMMARIES: dict[str, str | None] = {
    "run": "certsync -> sign -> verify -> publish (what the task runs)",
    "certsync": "bring the certificate to this agent; the last line of stdout is its thumbprint",
    "sign": "sign and verify, publish nothing",
    "timestamp": "add a timestamp to signatures that lack one",
    "verify": "strict verification",
    "merge": "one report and one verdict from the reports of all slices",
    "inspect": "what signatures a file carries",
    "doctor": "check every prerequisite of a run, each with its remedy; signs nothing",
    "explain": "what an error code or a tool's output means and what to do",
    "gate": "ask Azure DevOps whether a build's verdict lets a release go on",
    "demo": "the whole path on the embedded default, on real Windows binaries",
    "schema": "JSON schema of kspsign.yml, of a policy file and of the report",
    "action": None,  # how the GitHub action starts the engine: its inputs in one variable
    "task": None,  # how the Azure Pipelines task starts the engine: a document on standard input
}
FIELDS: dict[str, tuple[str, ...]] = {
    "run": _ALL,
    "certsync": (*_KEY, "tools_msi", "tools_msi_sha256", "quiet", "verbose"),
    "sign": tuple(name for name in _ALL if name != "publish_token_env"),
    "timestamp": (
        *("files", "folder", "timestamp_url", "timestamp_jobs", "digest", "trust_root", "fail_fast"),
        *_OUTPUT,
    ),
    "doctor": ("files", "folder", *_KEY, "engine", "timestamp_url", "no_timestamp"),
    "verify": (
        "files",
        "folder",
        "trust_root",
        "policy",
        "revocation",
        "no_timestamp",
        "signtool_verify",
        "signtool",
        "slice",
        *_RESULTS,
    ),
    "merge": ("files", "folder", "policy", *_RESULTS),
}


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Give `parser` the options of `command`."""
    if command in FIELDS:
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: kspsign.yml)")
        for name in FIELDS[command]:
            _add_field(parser, name)
        if command == "doctor":
            parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    elif command == "gate":
        from kspsign.gate.settings import GATE_INTERNAL_FIELDS, GateSettings  # noqa: PLC0415 - of this command alone

        for name in (each for each in GateSettings.model_fields if each not in GATE_INTERNAL_FIELDS):
            _add_field(parser, name, GateSettings)
    elif command == "inspect":
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to look into")
        parser.add_argument("--trust-root", type=Path, action="append", metavar="PEM", help="roots to trust instead")
    elif command == "explain":
        parser.add_argument("words", nargs="+", metavar="CODE|TEXT", help="0x800B0100, a line of output, - for stdin")
    elif command == "demo":
        parser.add_argument(
            "folder", type=Path, nargs="?", metavar="DIR", help="folder for the results (default: demo)"
        )
    elif command == "schema":
        parser.add_argument("what", choices=("config", "policy", "report"), help="which schema to print")


def execute(command: str, given: dict[str, Any], environment: Mapping[str, str]) -> int:
    """Run `command` with the options that were given; returns the exit code."""
    special: dict[str, Callable[[dict[str, Any], Mapping[str, str]], int]] = {
        "inspect": _inspect,
        "explain": _explain,
        "gate": _gate,
        "demo": _demo,
        "schema": _schema,
        "task": _task,
        "action": _action,
    }
    if command in special:
        return special[command](given, environment)
    as_json = given.pop("json", False)
    settings = resolve(_known(command), given, config=given.pop("config", None), environment=environment)
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return _examine(settings, context, as_json=as_json) if command == "doctor" else _perform(settings, context)


def _perform(settings: Settings, context: RunContext) -> int:
    cancelled = threading.Event()
    with _signals_cancelling(cancelled):
        from kspsign import merging, path  # noqa: PLC0415 - the stages import what is heavy
        from kspsign.publishing import open_console  # noqa: PLC0415

        stages = {
            "run": path.run,
            "sign": path.run,
            "certsync": path.certsync,
            "timestamp": path.timestamp,
            "verify": path.verify,
            "merge": merging.merge,
        }
        console = open_console(context, quiet=settings.quiet, verbose=settings.verbose or context.debug, stream=None)
        with contextlib.closing(console):
            report = stages[settings.command](settings, context, console, cancelled)
    if settings.command == "certsync" and report.certificate is not None:
        sys.stdout.write(f"{report.certificate.thumbprint}\n")
    return report.exit_code


def _examine(settings: Settings, context: RunContext, *, as_json: bool) -> int:
    from kspsign.doctor import run_doctor  # noqa: PLC0415

    return run_doctor(settings, context.temp_folder, sys.stdout, as_json=as_json)


@contextlib.contextmanager
def _signals_cancelling(cancelled: threading.Event) -> Iterator[None]:
    """Signals that ask for an end set `cancelled`: files in hand are finished or undone, the report is written."""

    def cancel(_number: int, _frame: types.FrameType | None) -> None:
        cancelled.set()

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGBREAK")]
    before = {number: signal.signal(number, cancel) for number in numbers if number is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _inspect(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.inspection import inspect_file  # noqa: PLC0415

    return inspect_file(given["file"], tuple(given.get("trust_root") or ()), sys.stdout)


def _explain(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.explanation import explain  # noqa: PLC0415

    return explain(given["words"], sys.stdout)


def _gate(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.gate.deciding import run_gate  # noqa: PLC0415 - it brings the client for Azure DevOps
    from kspsign.gate.settings import resolve_gate  # noqa: PLC0415

    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    cancelled = threading.Event()
    with _signals_cancelling(cancelled):
        return run_gate(resolve_gate(given, environment), context, pause=cancelled.wait)


def _demo(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.demo import run_demo  # noqa: PLC0415

    folder = given.get("folder") or Path("demo")
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return run_demo(folder.absolute(), lambda settings: _perform(settings, context))


def _schema(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.publishing import report_schema  # noqa: PLC0415
    from kspsign.verifying import policy_schema  # noqa: PLC0415

    schema = {"report": report_schema, "policy": policy_schema, "config": _config_schema}[given["what"]]()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return 0


def _config_schema() -> dict[str, Any]:
    schema = Settings.model_json_schema()
    schema["title"] = "kspsign.yml"
    for name in INTERNAL_FIELDS:
        schema["properties"].pop(name)
    return schema


def _task(_given: dict[str, Any], environment: Mapping[str, str]) -> int:
    """Read the task's document from stdin: version, command, inputs, secrets, variables."""
    try:
        document = json.load(sys.stdin.buffer)
        command, inputs = document["command"], document["inputs"]
        secrets, variables = document["secrets"], {**document["variables"], "TF_BUILD": "True"}
    except (ValueError, TypeError, KeyError) as broken:
        raise ConfigurationError(
            "the document on standard input is not one of the KspSign task's",
            remedy="`kspsign task` is for the task alone; call `kspsign run`.",
        ) from broken
    context = RunContext.from_environment(variables, is_tty=False)
    settings = resolve(_known(command), {}, inputs=inputs, environment=environment, secrets=secrets)
    return _examine(settings, context, as_json=False) if command == "doctor" else _perform(settings, context)


def _action(_given: dict[str, Any], environment: Mapping[str, str]) -> int:
    """Take the action's inputs from their variable."""
    from kspsign.action import INPUTS_VARIABLE, read_inputs  # noqa: PLC0415 - only this command needs it

    command, fields, secrets = read_inputs(environment.get(INPUTS_VARIABLE, ""))
    settings = resolve(_known(command), fields, environment=environment, secrets=secrets)
    return _perform(settings, RunContext.from_environment(environment, is_tty=False))


def _known(command: str) -> Command:
    if command in get_args(Command):
        return command  # type: ignore[return-value]  # narrowed by the line above, which mypy does not see
    raise ConfigurationError(f"unknown command {command!r}", remedy=f"One of {', '.join(get_args(Command))}.")


def _add_field(parser: argparse.ArgumentParser, name: str, model: type[BaseModel] = Settings) -> None:
    """One option from one field of `model`: its type gives the form, its description the help."""
    field = model.model_fields[name]
    text = (field.description or "").replace("%", "%%")
    if name == "files" and model is Settings:
        parser.add_argument("files", nargs="*", metavar="PATTERN", help=text)
        return
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not type(None)]
    if kinds == [bool]:
        parser.add_argument(option_name(name), action="store_true", help=text)
    elif get_origin(kinds[0]) is Literal:
        parser.add_argument(option_name(name), choices=get_args(kinds[0]), help=text)
    elif get_origin(kinds[0]) is tuple:
        parser.add_argument(option_name(name), action="append", metavar="VALUE", help=text)
    else:
        kind = int if kinds == [int] else str
        parser.add_argument(option_name(name), type=kind, metavar="N" if kind is int else "VALUE", help=text)


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
