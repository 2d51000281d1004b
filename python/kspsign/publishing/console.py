"""The consoles that report progress: in a pipeline's log, in a terminal, or as plain text."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from kspsign.model.load import load
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing.progress import Progress
from kspsign.settings.context import RunContext

if TYPE_CHECKING:
    from kspsign.model.signing_facts import CertificateFacts

_PLAIN = "kspsign.publishing.plain:PlainConsole"
_PIPELINE_LOG = "kspsign.publishing.pipeline_log:PipelineLogConsole"
CONSOLES: Mapping[str, tuple[str, ...]] = {
    "azure-pipelines": (_PIPELINE_LOG, "kspsign.publishing.logging_commands:AzureLog"),
    "github-actions": (_PIPELINE_LOG, "kspsign.publishing.workflow_commands:GitHubLog"),
    "terminal": ("kspsign.publishing.terminal:TerminalConsole",),
}
"""The console of each surface, and the dialect of its commands; other surfaces get plain text. Loaded when used: rich
alone takes long to import."""


class Console(Protocol):
    """Receives the run's events in order, from one thread."""

    def begin(self, command: str, total: int) -> None:
        """The command starts on `total` files (0: it has none)."""

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """The certificate that will sign was found."""

    def notice(self, text: str) -> None:
        """A line of information; remote calls are reported from the thread that made them."""

    def warning(self, code: str, text: str) -> None:
        """Something that people should act on though nothing failed."""

    def file_done(self, outcome: FileOutcome, done: int, total: int) -> None:
        """One more file has its outcome; `done` of `total` have."""

    def progress(self, read: Callable[[], Progress]) -> None:
        """Called often, also while no file is done; `read` returns the progress."""

    def failed(self, error: ErrorFacts) -> None:
        """The whole run was stopped by `error`."""

    def finish(self, report: Report) -> None:
        """The run is over."""

    def close(self) -> None:
        """Leave the surface in order; safe to call at any point and twice."""


def open_console(context: RunContext, *, quiet: bool, verbose: bool, stream: TextIO | None) -> Console:
    """The console for the surface of `context`, on `stream` (default: standard output).

    `quiet` prints failures only; `verbose`, like the pipeline's System.Debug, each check of each file.
    """
    verbose = verbose or context.debug
    out = prepared(stream, context)
    kind, *dialect = CONSOLES.get(context.surface, (_PLAIN,))
    console: Console = load(kind)(out, *(load(name)() for name in dialect), quiet=quiet, verbose=verbose)
    return console


def prepared(stream: TextIO | None, context: RunContext) -> TextIO:
    """`stream` or standard output, set so that no name breaks it; agents read UTF-8 on every system."""
    out = sys.stdout if stream is None else stream
    if isinstance(out, io.TextIOWrapper):
        encoding = "utf-8" if context.surface in ("azure-pipelines", "github-actions") else None
        out.reconfigure(encoding=encoding, errors="backslashreplace")
    return out
