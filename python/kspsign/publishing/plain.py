"""The console for output that goes to a file or another program: stable plain text, one line per file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.failure_groups import group_failures
from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import log_line

if TYPE_CHECKING:
    from kspsign.model.signing_facts import CertificateFacts


class PlainConsole:
    """Plain text on `stream`; see `Console`."""

    def __init__(self, stream: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._stream = stream
        self._quiet = quiet
        self._verbose = verbose
        self._stop_told = False

    def begin(self, command: str, total: int) -> None:
        """Name the command and how many files it works on."""
        self._tell(f"kspsign {log_line(command)}" + (f": {count(total, 'file')}" if total else ""))

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """Name the certificate; mark test signing."""
        self._tell(wording.certificate_line(facts, key_store))
        if test_signing:
            self._tell(wording.TEST_SIGNING)

    def notice(self, text: str) -> None:
        """One line."""
        self._tell(log_line(text))

    def warning(self, code: str, text: str) -> None:
        """One line."""
        self._tell(wording.warning_line(code, text))

    def file_done(self, outcome: FileOutcome, done: int, total: int) -> None:
        """One line for the file, and its checks when verbose; what was not tried is counted at the end."""
        if not outcome.tried:
            return
        self._tell(f"[{done}/{total}] {wording.file_line(outcome)}")
        if self._verbose:
            for line in wording.check_lines(outcome):
                self._tell(line)

    def progress(self, read: Callable[[], Progress]) -> None:
        """No output: each file has its line."""

    def failed(self, error: ErrorFacts) -> None:
        """Cause and remedy of what stopped the run."""
        self._stop(error)

    def finish(self, report: Report) -> None:
        """Failures with cause and remedy, then the totals."""
        for group in group_failures(report):
            self._write(f"failed: {group.counted}: {group.named}")
            for line in (f"cause:  {group.headline}", *wording.remedy_lines(group.error)):
                self._write(f"  {line}")
        if report.error is not None and not self._stop_told:
            self._stop(report.error)
        if not_tried := wording.not_tried_line(report.totals):
            self._write(not_tried)
        self._tell(wording.totals_line(report))

    def close(self) -> None:
        """Nothing is held back."""
        self._stream.flush()

    def _stop(self, error: ErrorFacts) -> None:
        self._stop_told = True
        self._write(f"error: {wording.code_text(error)}: {log_line(error.message)}")
        for line in wording.remedy_lines(error):
            self._write(f"  {line}")

    def _tell(self, line: str) -> None:
        if not self._quiet:
            self._write(line)

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
