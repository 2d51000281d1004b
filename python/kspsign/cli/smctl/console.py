"""What `smctl sign` prints of a run: a line for each file as smctl has it, causes before it, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from kspsign.model.report import CertificateFacts, FileOutcome, Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import log_line


class SmctlConsole:
    """smctl's lines on `out`, causes and remedies on `errors`; see `Console`."""

    def __init__(self, out: TextIO, errors: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._out, self._errors, self._quiet, self._verbose = out, errors, quiet, verbose

    def begin(self, command: str, total: int) -> None:
        """smctl says nothing here."""

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """Name the certificate when verbose; mark test signing always."""
        if self._verbose:
            self._print(wording.certificate_line(facts, key_store))
        if test_signing:
            self._print(wording.TEST_SIGNING)

    def notice(self, text: str) -> None:
        """A line of information, when verbose."""
        if self._verbose:
            self._print(log_line(text))

    def warning(self, code: str, text: str) -> None:
        """One line."""
        self._errors.write(f"{wording.warning_line(code, text)}\n")

    def file_done(self, outcome: FileOutcome, done: int, total: int) -> None:
        """smctl's line for the file; its cause and remedy before it when it failed."""
        if not outcome.tried:
            return
        name = log_line(outcome.path)
        if wording.is_failure(outcome):
            self._error(wording.failure_facts(outcome))
            self._out.write(f"signCommand command for file {name} FAILED\n")
            return
        if self._verbose:
            self._print(f"[{done}/{total}] {wording.file_line(outcome)}")
            for line in wording.check_lines(outcome):
                self._print(line)
        if outcome.outcome == "signed":
            self._print(f"signCommand command for file {name} was SUCCESSFUL")
        else:
            self._print(f"File {name} is signed already: left as it is")

    def progress(self, read: Callable[[], Progress]) -> None:
        """smctl shows none."""

    def failed(self, error: ErrorFacts) -> None:
        """What stopped the whole run."""
        self._error(error)

    def finish(self, report: Report) -> None:
        """The totals when verbose, and the line that says that something failed."""
        if not_tried := wording.not_tried_line(report.totals):
            self._errors.write(f"{not_tried}\n")
        if self._verbose:
            self._print(wording.totals_line(report))
        if not report.passed:
            self._out.write("Signing FAILED\n")

    def close(self) -> None:
        """Nothing is held back."""
        self._out.flush()
        self._errors.flush()

    def _error(self, error: ErrorFacts) -> None:
        self._errors.write(f"Error: {wording.code_text(error)}: {log_line(error.message)}\n")
        self._errors.writelines(f"  {line}\n" for line in wording.remedy_lines(error))

    def _print(self, line: str) -> None:
        if not self._quiet:
            self._out.write(f"{line}\n")
            self._out.flush()
