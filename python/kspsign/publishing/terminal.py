"""The console for people at a terminal: a progress bar on long work, a short table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich import box
from rich.console import Console as RichConsole
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.failure_groups import group_failures
from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import log_line

BAR_SECONDS = 0.1
"""Between two steps of the bar."""

TABLE_ROWS = 20
"""Rows of the table at the end, of files that did not fail; failures follow it by cause."""

PASSED_MARK, FAILED_MARK = "\N{CHECK MARK}", "\N{MULTIPLICATION X}"

_STYLES = {
    "failed": "bold red",
    "signed": "green",
    "checked": "green",
    "skipped": "cyan",
    "planned": "cyan",
    "removed": "green",
    "created": "green",
    "rebuilt": "green",
    "extracted": "green",
    "prepared": "green",
}
_VERDICT_STYLES = {"verified": "green", "failed": "bold red", "not-checked": "yellow"}
_WARNING_STYLE = "yellow"
_MARK_STYLE = "bold black on yellow"


class TerminalConsole:
    """Colours and a live bar on `stream`; see `Console`."""

    def __init__(self, stream: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._out = RichConsole(
            file=stream, force_terminal=True, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        self._quiet = quiet
        self._verbose = verbose
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._stop_told = False
        self._told_at = 0.0

    def begin(self, command: str, total: int) -> None:
        """Start the bar when there is more than one file to wait for."""
        self.close()
        if self._quiet or total < 2:
            return
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[far]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self._out,
            transient=True,
        )
        self._task = self._bar.add_task(f"kspsign {log_line(command)}", total=total, far="")
        self._bar.start()

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """Name the certificate; mark test signing."""
        self._tell(Text(wording.certificate_line(facts, key_store)))
        if test_signing:
            self._tell(Text(wording.TEST_SIGNING, style=_MARK_STYLE))

    def notice(self, text: str) -> None:
        """One line above the bar."""
        self._tell(Text(log_line(text)))

    def warning(self, code: str, text: str) -> None:
        """One line above the bar that stands out."""
        self._tell(Text(wording.warning_line(code, text), style=_WARNING_STYLE))

    def file_done(self, outcome: FileOutcome, _done: int, _total: int) -> None:
        """When verbose, print the file and its checks above the bar; what was not tried is counted at the end."""
        if self._verbose and outcome.tried:
            self._tell(Text(wording.file_line(outcome), style=_STYLES[wording.outcome_word(outcome)]))
            for line in wording.check_lines(outcome):
                self._tell(Text(line, style="dim"))

    def progress(self, read: Callable[[], Progress]) -> None:
        """Advance the bar."""
        now = time.monotonic()
        if self._bar is not None and self._task is not None and now - self._told_at >= BAR_SECONDS:
            self._told_at = now
            progress = read()
            self._bar.update(self._task, completed=progress.files_done, total=progress.files, far=progress.text)

    def failed(self, error: ErrorFacts) -> None:
        """Cause and remedy of what stopped the run."""
        self._stop(error)

    def finish(self, report: Report) -> None:
        """The table of what did not fail, the causes of failures with their remedies, and one line that sums up."""
        self.close()
        done = [outcome for outcome in report.files if outcome.tried and not wording.is_failure(outcome)]
        if done:
            self._tell(_table(done))
        for group in group_failures(report):
            named = f"{group.counted}: {group.named}"
            self._explain([f"{FAILED_MARK} {named}", f"    cause:  {group.headline}"], group.error)
        if report.error is not None and not self._stop_told:
            self._stop(report.error)
        if not_tried := wording.not_tried_line(report.totals):
            self._out.print(Text(not_tried, style="bold red"))
        good = report.passed or report.dry_run
        line = f"{PASSED_MARK if good else FAILED_MARK} {wording.totals_line(report)}"
        self._tell(Text(self._shown(line).lstrip(), style="bold green" if good else "bold red"))

    def close(self) -> None:
        """Take the bar away and give the cursor back."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _stop(self, error: ErrorFacts) -> None:
        self._stop_told = True
        self.close()
        self._explain(
            [f"{FAILED_MARK} error: {wording.code_text(error)}", f"    cause:  {log_line(error.message)}"], error
        )

    def _explain(self, head: list[str], error: ErrorFacts) -> None:
        first, cause = head
        remedy, *more = wording.remedy_lines(error)
        self._out.print(Text(self._shown(first), style="bold red"))
        self._out.print(Text(cause))
        self._out.print(Text(f"    {remedy}", style="yellow"))
        for line in more:
            self._out.print(Text(f"    {line}", style="dim"))

    def _shown(self, line: str) -> str:
        """`line` with marks that the terminal's encoding has."""
        try:
            line.encode(self._out.encoding)
        except (UnicodeEncodeError, LookupError):
            return line.replace(FAILED_MARK, "x").replace(PASSED_MARK, "")
        return line

    def _tell(self, shown: Text | Table) -> None:
        if not self._quiet:
            self._out.print(shown)


def _table(files: list[FileOutcome]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("outcome", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("file", overflow="fold", ratio=1)
    table.add_column("timestamp (UTC)", no_wrap=True)
    shown = files[:TABLE_ROWS]
    for outcome in shown:
        word = wording.outcome_word(outcome)
        stamp = outcome.signatures[-1].timestamp if outcome.signatures else None
        table.add_row(
            Text(word, style=_STYLES[word]),
            Text(wording.verdict_word(outcome), style=_VERDICT_STYLES[outcome.verdict.result]),
            Text(log_line(outcome.path)),
            Text(log_line(stamp.time[:16].replace("T", " ")) if stamp else "-"),
        )
    if len(files) > len(shown):
        table.add_row("...", "", f"and {count(len(files) - len(shown), 'more file')}")
    return table
