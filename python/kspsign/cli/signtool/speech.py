"""What a call prints: SignTool's lines on standard output and error, as much as /q, /v and /debug ask for."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TextIO

from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.grammar import Call
from kspsign.model.errors import KspSignError
from kspsign.model.values import ErrorFacts
from kspsign.publishing.sanitize import log_line
from kspsign.publishing.setting_words import SettingWords, error_in_words

EXIT_DONE, EXIT_ERROR, EXIT_WARNING = 0, 1, 2


class Speech:
    """The output of one call, and how many successes, warnings and errors it named."""

    def __init__(self, call: Call, out: TextIO, err: TextIO) -> None:
        self.quiet = call.has("q")
        self.debug = call.has("debug")
        self.verbose = call.has("v")
        self.successes = self.warnings = self.errors = 0
        self.words = SettingWords("signtool")
        self._out, self._err = out, err

    def say(self, *lines: str) -> None:
        """Lines that only /q keeps back."""
        if not self.quiet:
            _write(self._out, lines)

    def detail(self, *lines: str) -> None:
        """Lines that /v asks for."""
        if self.verbose:
            self.say(*lines)

    def trace(self, *lines: str) -> None:
        """Lines that /debug asks for."""
        if self.debug:
            self.say(*lines)

    def remark(self, text: str) -> None:
        """Something that people should know though nothing failed: kspsign's own line, under /v or /debug."""
        if self.verbose or self.debug:
            self.say(f"kspsign: {log_line(text)}")

    def succeed(self, line: str, *before: str, count: int = 1) -> None:
        """Count a success, or as many as it is for, and say it."""
        self.successes += count
        self.say(*before, line)

    def warn(self, sentence: str) -> None:
        """Count a warning and say it."""
        self.warnings += 1
        _write(self._err, [f"SignTool Warning: {sentence}"])

    def fail(self, *sentences: str, error: ErrorFacts | None = None) -> None:
        """Count an error; after the first sentence come cause and remedy."""
        self.errors += 1
        first, *more = sentences
        explained = [] if error is None else _explanation(error_in_words(error, self.words))
        _write(self._err, [f"SignTool Error: {first}", *explained])
        _write(self._err, (f"SignTool Error: {sentence}" for sentence in more))

    def refuse(self, error: KspSignError) -> None:
        """What ends the call, before any file or after some."""
        if isinstance(error, SignToolError):
            facts = ErrorFacts(error.code, None, error.cause, error.remedy)
            self.fail(error.message, error=facts)
        else:
            said = error_in_words(ErrorFacts(error.code, None, str(error), error.remedy), self.words).message
            self.fail(said, error=ErrorFacts(error.code, None, "", error.remedy))

    def totals(self, done: str) -> None:
        """The counts at the end, which SignTool prints under /v or when something was wrong; `done` is "Signed"."""
        counts = (
            (f"Number of {done}", self.successes),
            ("Number of warnings", self.warnings),
            ("Number of errors", self.errors),
        )
        if self.verbose:
            self.say("", *(f"{what}: {count}" for what, count in counts))
        elif self.warnings or self.errors:
            self.say("", *(f"{what}: {count}" for what, count in counts if count))

    @property
    def exit_code(self) -> int:
        """SignTool's: 0 done, 1 an error, 2 a warning."""
        if self.errors:
            return EXIT_ERROR
        return EXIT_WARNING if self.warnings else EXIT_DONE


def open_speech(call: Call) -> Speech:
    """On this process' streams, set so that no name breaks them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return Speech(call, sys.stdout, sys.stderr)


def _explanation(error: ErrorFacts) -> list[str]:
    cause = [f"\tCause: {log_line(error.message)}"] if error.message else []
    return [*cause, *([f"\tRemedy: {log_line(error.remedy)}"] if error.remedy else [])]


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    """Write whole lines; a sentence of several has its own breaks."""
    for text in lines:
        for line in text.split("\n"):
            stripped = line.lstrip("\t ")
            stream.write(f"{line[: len(line) - len(stripped)]}{log_line(stripped)}\n")
    stream.flush()
