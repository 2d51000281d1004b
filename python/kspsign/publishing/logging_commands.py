"""Logging commands of Azure Pipelines: `##vso[area.event key=value;key=value]data`.

The agent finds the first `##vso[` in a line, ends it at the first `]`, splits the properties at `;` and `=`,
and unescapes `%AZP25` last.
"""

from __future__ import annotations

from typing import Literal

from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import clipped, log_line

TEXT_LIMIT = 1000
"""Characters of an issue's text; the live log cuts lines beyond 1024."""


def escape_data(value: str) -> str:
    """`value` for the data of a command: percent sign first, so that its own escape survives."""
    return value.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(value: str) -> str:
    """`value` for a property of a command."""
    return escape_data(value).replace("]", "%5D").replace(";", "%3B")


def logging_command(name: str, data: str = "", /, **properties: str) -> str:
    """The line of the command `name` ("task.setprogress"), without its line feed."""
    shown = "".join(f"{key}={escape_property(value)};" for key, value in properties.items())
    return f"##vso[{name}{' ' if shown else ''}{shown}]{escape_data(data)}"


def issue(kind: Literal["error", "warning"], code: str, text: str) -> str:
    """An issue shown on the run's summary; `text` may hold words from outside."""
    return logging_command("task.logissue", clipped(log_line(text), TEXT_LIMIT), type=kind, code=log_line(code))


class AzureLog:
    """The dialect of Azure Pipelines; see `LogDialect`."""

    def text(self, line: str) -> str:
        """Texts of `wording` bring no command of their own."""
        return line

    def group(self, title: str) -> str:
        """A group that the log shows folded."""
        return f"##[group]{title}"

    def end_group(self) -> str:
        """Its end."""
        return "##[endgroup]"

    def heading(self, line: str, *, passed: bool) -> str:
        """A green or a red line; neither is an issue of the run."""
        return f"##[{'section' if passed else 'error'}]{line}"

    def issue(self, kind: Literal["error", "warning"], code: str, text: str, file: str | None) -> str:  # noqa: ARG002 - see below
        """An issue; `file` stays in its text: it is a build's product, and a source path would hide the text."""
        return issue(kind, code, text)

    def progress(self, progress: Progress) -> str:
        """The step's percentage, and a line of text."""
        return logging_command("task.setprogress", progress.text, value=str(progress.percent))
