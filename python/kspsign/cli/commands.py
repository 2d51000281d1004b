"""The implementation of each command; its options are in options.py."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from kspsign.cli.next_step import next_steps
from kspsign.concurrency.cancellation import interruptible, signals_cancelling
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.load import load
from kspsign.settings.commands import Command
from kspsign.settings.context import RunContext
from kspsign.settings.faults import option_name
from kspsign.settings.model import STANDARD_OUTPUT, Settings, in_temp_folder
from kspsign.settings.resolve import resolve

if TYPE_CHECKING:
    from kspsign.batch.run import Run
    from kspsign.model.report import Report
    from kspsign.publishing import Console

COMMANDS: Mapping[str, str] = {
    "run": "kspsign.path:run",
    "sign": "kspsign.path:run",
    "certsync": "kspsign.batch.synchronise:synchronise_certificate",
    "timestamp": "kspsign.batch.timestamp:timestamp_files",
    "remove": "kspsign.batch.remove:remove_files",
    "extract": "kspsign.batch.extract:extract_signatures",
    "attach": "kspsign.batch.attach:attach_signatures",
    "digest": "kspsign.batch.digest:write_digests",
    "verify": "kspsign.batch.verify:verify_files",
    "catalog": "kspsign.batch.catalogue:create_catalogue",
    "merge": "kspsign.batch.merge:merge",
}
"""The function that makes the report of each command with files, loaded when it is called."""
_SIGN_DOCUMENT = "kspsign.batch.sign_document:sign_document"
"""That of `sign --document`."""


def execute(command: str, given: dict[str, Any], environment: Mapping[str, str]) -> int:
    """Run `command` with the options that were given; returns the exit code."""
    special: dict[str, Callable[[dict[str, Any], Mapping[str, str]], int]] = {
        "inspect": _inspect,
        "report": _report,
        "explain": _explain,
        "completion": _completion,
        "gate": _gate,
        "reconcile": _reconcile,
        "demo": _demo,
        "shims": _shims,
        "schema": _schema,
        "task": _task,
        "action": _action,
    }
    if command in special:
        return special[command](given, environment)
    if command == "doctor":
        return _doctor(given, environment)
    config = given.pop("config", "ambient")
    if given.pop("json", False):
        given = _with_json_report(given)
    settings = resolve(named(command, get_args(Command)), given, config=config, environment=environment, stores=STORES)
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return perform_settings(settings, context)


def perform(
    settings: Settings,
    context: RunContext,
    opened: Callable[[], Console],
    hints: Callable[[Report], Iterable[str]] = lambda _report: (),
    stages: Callable[[Run], Report] | None = None,
) -> Report:
    """Run the command of `settings` and say on the console that `opened` returns what it does, then the `hints`.

    `stages` take the place of the command's own function, where the files are not chosen by patterns. Signals that ask
    for an end cancel the run.
    """
    cancelled = threading.Event()
    with signals_cancelling(cancelled):
        from kspsign.batch.run import Run  # noqa: PLC0415 - the stages import what is heavy
        from kspsign.network.trace import listening  # noqa: PLC0415 - likewise

        with contextlib.closing(opened()) as console:
            with listening(console.notice if settings.verbose or context.debug else None):
                for line in settings.configuration.notices:
                    console.notice(line)
                run = stages or load(_stages(settings))
                report: Report = run(Run.begin(settings, context, console, cancelled))
            for line in hints(report):
                console.notice(f"next: {line}")
    return report


def _stages(settings: Settings) -> str:
    signs_document = settings.command == "sign" and settings.document is not None
    return _SIGN_DOCUMENT if signs_document else COMMANDS[settings.command]


def perform_settings(settings: Settings, context: RunContext) -> int:
    """Run the command of `settings`, with its results for whoever started it; returns the exit code."""
    stream = sys.stderr if _writes_to_standard_output(settings) else None

    def opened() -> Console:
        from kspsign.publishing import open_console  # noqa: PLC0415 - it brings what is heavy

        verbose = settings.verbose or context.debug
        return open_console(context, quiet=settings.quiet, verbose=verbose, stream=stream)

    hinting = context.surface == "terminal" and not settings.quiet and stream is None
    report = perform(settings, context, opened, next_steps if hinting else lambda _report: ())
    if settings.command == "certsync" and report.certificate is not None:
        sys.stdout.write(f"{report.certificate.thumbprint}\n")
    return report.exit_code


def _with_json_report(given: dict[str, Any]) -> dict[str, Any]:
    """`--json` asks for the report on standard output."""
    if given.get("report") is not None:
        raise ConfigurationError("--json and --report exclude each other", remedy="--report - is the same as --json.")
    return {**given, "report": STANDARD_OUTPUT}


def _writes_to_standard_output(settings: Settings) -> bool:
    """Whether an output is `-`, so that people's lines go to standard error. Raises ConfigurationError for two."""
    named = [name for name, path in settings.output_files.items() if path == STANDARD_OUTPUT]
    if len(named) > 1:
        raise ConfigurationError(
            f"{' and '.join(map(option_name, named))} can't both go to standard output", remedy="Name a file for one."
        )
    return bool(named)


def _doctor(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    as_json, config = given.pop("json", False), given.pop("config", "ambient")
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return examine(
        lambda: resolve("doctor", given, config=config, environment=environment, stores=STORES),
        context,
        as_json=as_json,
    )


def examine(settings: Callable[[], Settings], context: RunContext, *, as_json: bool = False) -> int:
    """The doctor's checks; settings that are refused are its first finding."""
    from kspsign.doctor import report_refused, run_doctor  # noqa: PLC0415 - only this command needs it

    try:
        given = settings()
    except KspSignError as refused:
        return report_refused(refused, context, sys.stdout, as_json=as_json)
    return run_doctor(given, context, sys.stdout, as_json=as_json)


def _inspect(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.cli.inspect import inspect_files  # noqa: PLC0415 - only this command needs it

    as_json = given.pop("json", False)
    settings = resolve("verify", given, environment=environment, stores=STORES)
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return inspect_files(in_temp_folder(settings, context.temp_folder), sys.stdout, as_json=as_json)


def _report(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.cli.report import show_report  # noqa: PLC0415 - only this command needs it

    return show_report(given["file"], given.get("html"), sys.stdout, opening=given.get("open", False))


def _completion(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.cli.completion import completion_script  # noqa: PLC0415 - only this command needs it
    from kspsign.cli.main import build_parser  # noqa: PLC0415 - it imports this module

    sys.stdout.write(completion_script(given["shell"], build_parser()))
    return 0


def _explain(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    from kspsign.cli.explain import explain  # noqa: PLC0415 - only this command needs it

    return explain(given["words"], sys.stdout)


def _gate(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.gate.decide import run_gate  # noqa: PLC0415 - it brings the client for Azure DevOps
    from kspsign.gate.settings import resolve_gate  # noqa: PLC0415 - only this command needs it

    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    cancelled = threading.Event()
    with signals_cancelling(cancelled):
        settings = resolve_gate(given, environment)
        return interruptible(lambda: run_gate(settings, context, pause=cancelled.wait), cancelled)


def _reconcile(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.reconciliation.command import run_reconcile  # noqa: PLC0415 - only this command needs it
    from kspsign.reconciliation.settings import resolve_reconcile  # noqa: PLC0415 - likewise

    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    cancelled = threading.Event()
    with signals_cancelling(cancelled):
        settings = resolve_reconcile(given, environment)
        return interruptible(lambda: run_reconcile(settings, context, pause=cancelled.wait), cancelled)


def _demo(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.cli.demo import run_demo  # noqa: PLC0415 - only this command needs it

    folder = given.get("folder") or Path("demo")
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    return run_demo(folder.absolute(), lambda settings: perform_settings(settings, context))


def _shims(given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.cli.shims.command import write_shims  # noqa: PLC0415 - only this command needs it

    folder, config = given.pop("target"), given.pop("config", "ambient")
    context = RunContext.from_environment(environment, is_tty=sys.stdout.isatty())
    settings = resolve("shims", given, config=config, environment=environment, stores=STORES)
    return write_shims(folder, settings, context, environment)


SCHEMAS: Mapping[str, str] = {
    "report": "kspsign.publishing:report_schema",
    "policy": "kspsign.verifying:policy_schema",
    "config": "kspsign.cli.config_schema:config_schema",
    "doctor": "kspsign.doctor:doctor_schema",
    "inspect": "kspsign.cli.inspect_schema:inspect_schema",
    "digest": "kspsign.signing.digest_document:digest_document_schema",
    "key-command": "kspsign.keys.command.messages:key_command_schema",
    "ledger": "kspsign.ledger.entries:ledger_schema",
    "reconciliation": "kspsign.reconciliation.schema:reconciliation_schema",
}
"""The function that returns each schema, loaded when it is asked for."""


def _schema(given: dict[str, Any], _environment: Mapping[str, str]) -> int:
    schema = load(SCHEMAS[given["what"]])()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return 0


def _task(_given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.cli.pipeline_step import run_task  # noqa: PLC0415 - only this command needs it

    return run_task(environment)


def _action(_given: dict[str, Any], environment: Mapping[str, str]) -> int:
    from kspsign.cli.pipeline_step import run_action  # noqa: PLC0415 - only this command needs it

    return run_action(environment)


def named(command: str, known: Sequence[str]) -> Command:
    """The command of this name, which must be one of `known`. Raises ConfigurationError."""
    if command in known:
        return command  # type: ignore[return-value]  # narrowed by the line above, which mypy does not see
    raise ConfigurationError(f"unknown command {command!r}", remedy=f"One of {', '.join(known)}.")
