"""Workflow commands of GitHub Actions: `::name key=value,key=value::data`, and the files of a step.

The runner treats a line as a command when it begins, after blanks, with `::`; its old form `##[name]` counts anywhere
in a line. A command that is not known is text. Data and properties are unescaped, percent sign last.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Literal

from kspsign.publishing.progress import Progress
from kspsign.publishing.sanitize import clipped, log_line

TEXT_LIMIT = 3000
"""Characters of an annotation's text."""

SUMMARY_LIMIT = 1_000_000
"""Bytes of a step's summary; the runner takes none beyond 1 MiB."""

# Anything but printable ASCII may appear between the characters: the runner compares by culture, which skips
# characters without weight.
_LIVE_START = re.compile(r"^([^\x21-\x7e]*:)(?=[^\x20-\x7e]*:)")


def escape_data(value: str) -> str:
    """`value` for the data of a command: percent sign first, so that its own escape survives."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(value: str) -> str:
    """`value` for a property of a command."""
    return escape_data(value).replace(":", "%3A").replace(",", "%2C")


def workflow_command(name: str, data: str = "", /, **properties: str) -> str:
    """The line of the command `name`, without its line feed."""
    shown = ",".join(f"{key}={escape_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if shown else ''}{shown}::{escape_data(data)}"


def text_line(line: str) -> str:
    """`line` as text, also where it begins like a command (`::stop-commands::x`)."""
    return _LIVE_START.sub(r"\1_", log_line(line))


def output_text(values: Mapping[str, str]) -> str:
    """The text appended to GITHUB_OUTPUT; no value can end its own part, since the delimiter is random."""
    parts = []
    for name, value in values.items():
        delimiter = f"kspsign-{secrets.token_hex(16)}"
        parts.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(parts)


def summary_part(markdown: str) -> str:
    """The text appended to GITHUB_STEP_SUMMARY: whole lines within the runner's limit."""
    if len(markdown.encode("utf-8")) <= SUMMARY_LIMIT:
        return markdown + "\n"
    kept, size = [], 0
    for line in markdown.splitlines(keepends=True):
        size += len(line.encode("utf-8"))
        if size > SUMMARY_LIMIT:
            break
        kept.append(line)
    return "".join(kept) + "\nThe rest is in the report.\n"


class GitHubLog:
    """The dialect of GitHub Actions; see `LogDialect`."""

    def text(self, line: str) -> str:
        """A line in which no command is live."""
        return text_line(line)

    def group(self, title: str) -> str:
        """A group that the log shows folded."""
        return workflow_command("group", title)

    def end_group(self) -> str:
        """Its end."""
        return workflow_command("endgroup")

    def heading(self, line: str, *, passed: bool) -> str:
        """An annotation of the run."""
        return workflow_command("notice" if passed else "error", line, title="kspsign")

    def issue(self, kind: Literal["error", "warning"], code: str, text: str, file: str | None) -> str:
        """An annotation, with the file's path as it is shown."""
        place = {} if file is None else {"file": log_line(file)}
        return workflow_command(kind, clipped(log_line(text), TEXT_LIMIT), **place, title=log_line(code))

    def progress(self, progress: Progress) -> None:
        """The runner shows none."""
