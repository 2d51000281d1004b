"""`kspsign reconcile`: reads ledgers and logs, compares them, and says what was found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from kspsign.batch.outputs import check_outputs, inputs_of, outputs_of
from kspsign.model.errors import ConfigurationError, NotReconciledError, UnaccountedUseError
from kspsign.network.trace import listening
from kspsign.publishing import issue, log_line, prepared, write_record
from kspsign.publishing.page import page_template
from kspsign.reconciliation.answer import Answer, Coverage, Scope, answer
from kspsign.reconciliation.key_logs.read import KeyLog
from kspsign.reconciliation.ledgers import Ledgers
from kspsign.reconciliation.lines import console_lines
from kspsign.reconciliation.matching import Matcher
from kspsign.reconciliation.page import page_pieces
from kspsign.reconciliation.report import report_pieces
from kspsign.reconciliation.settings import ReconcileSettings
from kspsign.reconciliation.summary import summary_text
from kspsign.reconciliation.words import verdict
from kspsign.settings.context import RunContext


def run_reconcile(
    settings: ReconcileSettings,
    context: RunContext,
    *,
    pause: Callable[[float], bool],
    stream: TextIO | None = None,
) -> int:
    """Compare, report, and return 0 where every use has a signature and every signature a use.

    `pause` waits the seconds, and says whether the run was cancelled meanwhile. Raises UnaccountedUseError for a use
    that no build accounts for, NotReconciledError where the log lacks signatures or not all was compared,
    ConfigurationError for a file that can't be read or written, PrerequisiteError when Azure DevOps can't be asked or
    this installation has no HTML page.
    """
    outputs = outputs_of(settings, context)
    check_outputs(outputs, inputs_of(settings))
    if settings.html is not None:
        page_template()
    console = prepared(stream, context)

    def say(line: str) -> None:
        console.write(log_line(line) + "\n")
        console.flush()

    with listening(say if context.debug else None):
        ledgers = _ledgers(settings, context, pause)
    found = compare(settings, ledgers)
    _write(found, settings)
    for line in console_lines(found):
        say(line)
    return _exit_code(found, context, console)


def compare(settings: ReconcileSettings, ledgers: Ledgers) -> Answer:
    """The answer on the logs that the settings name."""
    matcher, coverage = Matcher(ledgers, settings.skew_seconds), Coverage()
    log_format = None if settings.log_format == "auto" else settings.log_format
    logs = [KeyLog(path, log_format, settings.columns) for path in _files(settings.key_log)]
    for number, log in enumerate(logs):
        for place, record in log.records():
            name = log.format or ""
            coverage.add(name, record.scope, record.time)
            if record.kind == "use":
                matcher.add(number, name, place, record)
    matcher.finish()
    scope = Scope(*settings.period, frozenset(key.lower() for key in settings.key))
    return answer(ledgers, logs, matcher, coverage, scope, settings.skew_seconds)


def _ledgers(settings: ReconcileSettings, context: RunContext, pause: Callable[[float], bool]) -> Ledgers:
    """The ledgers in files and, if asked for, those that builds attached."""
    ledgers = Ledgers()
    for path in _files(settings.ledger):
        ledgers.read(path)
    if settings.from_azure_devops:
        _fetch(ledgers, settings, context, pause)
    ledgers.merge()
    return ledgers


def _fetch(ledgers: Ledgers, settings: ReconcileSettings, context: RunContext, pause: Callable[[float], bool]) -> None:
    from kspsign.azure_devops import open_client  # noqa: PLC0415 - brings what is heavy
    from kspsign.reconciliation.fetch import fetch_ledgers  # noqa: PLC0415 - likewise

    place = settings.azure_devops
    client = open_client(
        place.collection,
        place.project,
        place.token,
        network=settings.network,
        temp_folder=context.temp_folder,
        pause=pause,
    )
    with contextlib.closing(client):
        ledgers.without = fetch_ledgers(client, ledgers, settings.definition, place.since, settings.task_id)


def _files(named: Iterable[Path]) -> Iterator[Path]:
    """Each file that is named, and every file in a folder that is, by name. Raises ConfigurationError for an empty
    folder."""
    for path in named:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.is_file())
        if not found:
            raise ConfigurationError(
                "there is no file in this folder", remedy="Name the folder with the files to compare.", file=str(path)
            )
        yield from found


def _write(found: Answer, settings: ReconcileSettings) -> None:
    if settings.report is not None:
        write_record(settings.report, report_pieces(found))
    if settings.summary is not None:
        write_record(settings.summary, (summary_text(found),))
    if settings.html is not None:
        write_record(settings.html, page_pieces(found))


def _exit_code(found: Answer, context: RunContext, console: TextIO) -> int:
    if found.result == "accounted":
        return 0
    said = verdict(found)
    code = "UNACCOUNTED_USE" if found.result == "unaccounted" else "NOT_RECONCILED"
    if context.surface == "azure-pipelines":
        console.write(issue("error", code, f"kspsign reconcile: {said}") + "\n")
    if found.result == "unaccounted":
        raise UnaccountedUseError(said)
    raise NotReconciledError(said, missing=found.result == "missing")
