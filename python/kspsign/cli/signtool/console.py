"""The console of a run that was started in SignTool's language; see `kspsign.publishing.Console`.

Files are worked on many at a time; their lines come in the order in which they were named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kspsign.cli.signtool import words
from kspsign.cli.signtool.files import NamedFiles
from kspsign.cli.signtool.speech import Speech
from kspsign.model.errors import CANCELLED
from kspsign.model.report import FileOutcome, Report
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import ErrorFacts
from kspsign.publishing.progress import Progress
from kspsign.publishing.setting_words import error_in_words


class FileConsole:
    """Says what became of each file once it is known of all files before it."""

    def __init__(self, speech: Speech, targets: NamedFiles, command: str) -> None:
        self.speech, self.stopped = speech, False
        self._targets, self._command = targets, command
        self._outcomes: dict[str, FileOutcome] = {}
        self._said = 0

    def speak(self, shown: str, outcome: FileOutcome) -> None:
        """The lines of one file, which is `shown` as it was named; of one that went well nothing."""
        if outcome.error is not None:
            self.fail_file(shown, outcome.error, outcome.size)

    def stop(self, error: ErrorFacts) -> None:
        """The lines of what stopped the whole run."""
        self.speech.fail(error.message, error=ErrorFacts(error.code, error.hresult, "", error.remedy))

    def missing(self, shown: str) -> None:
        """The line of a file that there is not."""
        self.speech.fail(f"File not found: {shown}")

    def begin(self, command: str, total: int) -> None:
        """See Console."""

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """See Console."""

    def notice(self, text: str) -> None:
        """See Console."""
        if self.speech.debug:
            self.speech.remark(text)

    def warning(self, code: str, text: str) -> None:
        """See Console."""
        self.speech.remark(f"warning {code}: {text}")

    def file_done(self, outcome: FileOutcome, _done: int, _total: int) -> None:
        """See Console."""
        self._outcomes[outcome.path] = outcome
        self._flush()

    def progress(self, read: Callable[[], Progress]) -> None:
        """See Console."""

    def failed(self, error: ErrorFacts) -> None:
        """See Console: the files that have an outcome by now come first. Where all have one, they said why."""
        self._flush()
        if self._said == len(self._targets.all) or error.code == CANCELLED:
            self.speech.remark(error.message)
            return
        self.stopped = True
        self.stop(error)

    def finish(self, _report: Report) -> None:
        """See Console."""
        self.name_missing()

    def name_missing(self) -> None:
        """Name the files that are missing, where no more outcomes are to come."""
        self._flush()

    def close(self) -> None:
        """See Console."""

    def _flush(self) -> None:
        """The files whose turn it is."""
        everything = self._targets.all
        while self._said < len(everything):
            target = everything[self._said]
            outcome = None
            if target.path is not None:
                outcome = self._outcomes.get(self._targets.by_shown[target.shown].name)
                if outcome is None:
                    return
            self._said += 1
            if outcome is None:
                self.missing(target.shown)
            else:
                self.speak(target.shown, outcome)

    def fail_file(self, shown: str, error: ErrorFacts, size: int) -> None:
        """SignTool's two errors for one file of `size` bytes, with kspsign's cause and remedy; they count as one."""
        message = error_in_words(error, self.speech.words).message
        sentence = words.file_sentence(self._command, replace(error, message=message), size=size)
        cause = "" if sentence == message else error.message
        self.speech.fail(
            sentence,
            f"An error occurred while attempting to {self._command}: {shown}",
            error=replace(error, message=cause),
        )
