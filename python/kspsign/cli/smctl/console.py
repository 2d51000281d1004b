"""What `smctl sign` prints of a run: a line for each file as smctl has it, causes before it, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from kspsign.model.report import FileOutcome, Report
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import log_line


class SmctlConsole:
    """smctl's lines on `out`, causes and remedies on `errors`; see `Console`."""

    ended = "Signing"
    """What the last line says has failed."""

    def __init__(self, out: TextIO, errors: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._out, self._errors, self._quiet, self._verbose = out, errors, quiet, verbose

    def begin(self, command: str, total: int) -> None:
        """smctl says nothing here."""

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """Name the certificate when verbose; mark test signing always."""
        if self._verbose:
            self.say(wording.certificate_line(facts, key_store))
        if test_signing:
            self.say(wording.TEST_SIGNING)

    def notice(self, text: str) -> None:
        """A line of information, when verbose."""
        if self._verbose:
            self.say(log_line(text))

    def warning(self, code: str, text: str) -> None:
        """One line."""
        self._errors.write(f"{wording.warning_line(code, text)}\n")

    def file_done(self, outcome: FileOutcome, done: int, total: int) -> None:
        """smctl's line for the file; its cause and remedy before it when it failed."""
        if not outcome.tried:
            return
        name = log_line(outcome.path)
        if not self.shows_checks(outcome, done, total):
            self.complain(f"signCommand command for file {name} FAILED")
        elif outcome.outcome == "signed":
            self.say(f"signCommand command for file {name} was SUCCESSFUL")
        else:
            self.say(f"File {name} is signed already: left as it is")

    def shows_checks(self, outcome: FileOutcome, done: int, total: int) -> bool:
        """Print why a file failed, or its checks when verbose; returns whether it went well."""
        if wording.is_failure(outcome):
            self._error(wording.failure_facts(outcome))
            return False
        if self._verbose:
            self.say(f"[{done}/{total}] {wording.file_line(outcome)}")
            for line in wording.check_lines(outcome):
                self.say(line)
        return True

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
            self.say(wording.totals_line(report))
        if not report.passed:
            self.complain(f"{self.ended} FAILED")

    def close(self) -> None:
        """Nothing is held back."""
        self._out.flush()
        self._errors.flush()

    def complain(self, line: str) -> None:
        """A line of failure."""
        self._out.write(f"{line}\n")

    def _error(self, error: ErrorFacts) -> None:
        self._errors.write(f"Error: {wording.code_text(error)}: {log_line(error.message)}\n")
        self._errors.writelines(f"  {line}\n" for line in wording.remedy_lines(error))

    def say(self, line: str) -> None:
        """A line of success, which quiet keeps back."""
        if not self._quiet:
            self._out.write(f"{line}\n")
            self._out.flush()
