"""The console for a pipeline's step: a grouped log, progress, and issues within the agent's limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol, TextIO

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.failure_groups import FailureGroup, group_failures
from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import log_line

CAUSE_ISSUES = 7
"""Issues for causes of failures. Agents keep ten errors per step: three are left for other causes, for what stopped the
run and for the closing line."""

SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 10.0
"""Between two words on the progress: not more often, and not more rarely."""


class LogDialect(Protocol):
    """Commands to an agent as lines of a step's output; every text may contain untrusted input."""

    def text(self, line: str) -> str:
        """`line` so that the agent takes it for text, whatever it says."""

    def group(self, title: str) -> str:
        """Begins a group of lines."""

    def end_group(self) -> str:
        """Ends it."""

    def heading(self, line: str, *, passed: bool) -> str:
        """A highlighted line, red unless `passed`."""

    def issue(self, kind: Literal["error", "warning"], code: str, text: str, file: str | None) -> str:
        """An issue on the run's page, at a file of the repository if there is one."""

    def progress(self, progress: Progress) -> str | None:
        """Shows progress; None where the surface can't."""


class PipelineLogConsole:
    """Log lines and the commands of `dialect` on `stream`; see `Console`."""

    def __init__(self, stream: TextIO, dialect: LogDialect, *, quiet: bool, verbose: bool) -> None:
        self._stream = stream
        self._dialect = dialect
        self._quiet = quiet
        self._verbose = verbose
        self._in_group = False
        self._percent, self._told_at = -1, 0.0
        self._marked = False
        self._stop_told = False

    def begin(self, command: str, total: int) -> None:
        """Open the group that holds the files' lines."""
        self._end_group()
        title = f"kspsign {log_line(command)}" + (f": {count(total, 'file')}" if total else "")
        if not self._quiet:
            self._write(self._dialect.group(title))
            self._in_group = True

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """Name the certificate; test signing is a warning on the run."""
        self._tell(wording.certificate_line(facts, key_store))
        if test_signing:
            self._mark()

    def notice(self, text: str) -> None:
        """One line."""
        self._tell(log_line(text))

    def warning(self, code: str, text: str) -> None:
        """A warning on the run's page."""
        self._write(self._dialect.issue("warning", code, text, None))

    def file_done(self, outcome: FileOutcome, _done: int, _total: int) -> None:
        """One line for the file, and its checks when verbose; what was not tried is counted at the end."""
        if not outcome.tried:
            return
        if wording.is_failure(outcome):
            self._write(self._dialect.text(wording.file_line(outcome)))
        else:
            self._tell(wording.file_line(outcome))
        if self._verbose:
            for line in wording.check_lines(outcome):
                self._tell(line)

    def progress(self, read: Callable[[], Progress]) -> None:
        """The step's progress: each percent, and what it waits for from time to time."""
        progress, now = read(), time.monotonic()
        silent = now - self._told_at
        due = silent >= SHORTEST_SECONDS or progress.percent == 100
        if (due and progress.percent != self._percent) or silent >= LONGEST_SECONDS:
            self._percent, self._told_at = progress.percent, now
            line = self._dialect.progress(progress)
            if line is not None:
                self._write(line)

    def failed(self, error: ErrorFacts) -> None:
        """An error issue with cause and remedy."""
        self._stop(error)

    def finish(self, report: Report) -> None:
        """Close the group, raise the issues, and end with the totals."""
        self._end_group()
        if report.test_signing:
            self._mark()
        if report.error is not None and not self._stop_told:
            self._stop(report.error)
        groups = group_failures(report)
        for group in groups[:CAUSE_ISSUES]:
            file = group.files[0].path if len(group.files) == 1 else None
            self._raise(group.error, whose=group.named if file else group.counted, group=group, file=file)
        if others := groups[CAUSE_ISSUES:]:
            files = count(sum(len(group.files) for group in others), "more file")
            text = f"{files} failed for {count(len(others), 'other cause')}: see the summary and the report."
            self._write(self._dialect.issue("error", "MORE_FAILURES", text, None))
        if not_tried := wording.not_tried_line(report.totals):
            self._write(self._dialect.text(not_tried))
        if not self._quiet:
            self._write(self._dialect.heading(wording.totals_line(report), passed=report.passed or report.dry_run))

    def close(self) -> None:
        """Close an open group."""
        self._end_group()
        self._stream.flush()

    def _stop(self, error: ErrorFacts) -> None:
        self._stop_told = True
        self._end_group()
        self._raise(error)

    def _raise(
        self, error: ErrorFacts, *, whose: str = "", group: FailureGroup | None = None, file: str | None = None
    ) -> None:
        """One issue: the file or how many, cause, remedy, the first of several files, and where to read more."""
        files = group.named if group is not None and file is None else ""
        text = wording.issue_text(error, whose=whose, files=files)
        self._write(self._dialect.issue("error", error.code, text, file))

    def _mark(self) -> None:
        if not self._marked:
            self._write(self._dialect.issue("warning", "TEST_SIGNING", wording.TEST_SIGNING, None))
        self._marked = True

    def _end_group(self) -> None:
        if self._in_group:
            self._write(self._dialect.end_group())
        self._in_group = False

    def _tell(self, line: str) -> None:
        if not self._quiet:
            self._write(self._dialect.text(line))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
