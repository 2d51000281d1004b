"""Reports errors when there is no console or report: on stderr, and in a pipeline as an issue."""

from __future__ import annotations

import sys
import traceback

from kspsign.model.errors import KspSignError, is_out_of_memory
from kspsign.model.values import ErrorFacts
from kspsign.publishing.logging_commands import AzureLog
from kspsign.publishing.sanitize import log_line
from kspsign.publishing.setting_words import SettingWords, error_in_words
from kspsign.publishing.wording import issue_text
from kspsign.publishing.workflow_commands import GitHubLog
from kspsign.settings.context import Caller

CAUSE_LIMIT = 600
"""Characters of a cause that may name several settings: the issue is the only place that states it."""


def report_error(error: KspSignError, caller: Caller = "cli") -> None:
    """An error of ours: cause and remedy, which names settings as `caller` does. In a pipeline it is an issue of the
    run, with its code and where to read more."""
    shown = error_in_words(ErrorFacts.of(error), SettingWords(caller))
    if caller == "cli":
        _tell(shown.message, shown.remedy)
        return
    dialect = AzureLog() if caller == "task" else GitHubLog()
    sys.stdout.write(f"{dialect.issue('error', shown.code, issue_text(shown, limit=CAUSE_LIMIT), None)}\n")


def report_unexpected(error: Exception) -> None:
    """An error outside our error tree: refused by the system, out of memory, or a defect with its location."""
    if is_out_of_memory(error):
        remedy = "Run on a machine or container with more memory, or raise its limit (ulimit -v)."
        _tell(f"this process ran out of memory ({type(error).__name__}: {error})", remedy)
        return
    if isinstance(error, OSError):
        remedy = "Fix what the system reports; if the output goes to a file or a pipe, check that first."
    else:
        sys.stderr.write("".join(traceback.format_exception(error)))
        remedy = "This is a defect of kspsign: report it with the lines above."
    _tell(f"unexpected {type(error).__name__}: {error}", remedy)


def _tell(cause: str, remedy: str) -> None:
    sys.stderr.write(f"kspsign: {log_line(cause)}\n  remedy:  {log_line(remedy)}\n")
