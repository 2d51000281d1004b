"""Sanitizes untrusted text for display: file names, tool output, certificate subjects.

What can't be shown as it is (control and direction characters, bytes of a file name that are not text) appears
as a visible escape such as `\\x1b` or `\\u202e`; nothing is dropped: names that differ still look different.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}
"""Unicode categories without a shape of their own: controls, formats, surrogates, separators, unassigned."""

# The agent compares by culture, which skips characters without weight: anything but printable ASCII may appear between
# the characters of a prefix.
_SKIPPED = r"[^\x20-\x7e]*"
_LIVE_PREFIX = re.compile(rf"#{_SKIPPED}#(?=(?:{_SKIPPED}v{_SKIPPED}s{_SKIPPED}o)?{_SKIPPED}\[)", re.IGNORECASE)

_MARKDOWN_ACTIVE = r"[\\`*\[\]<>|~#!$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|@"


def visible(text: str, *, keep: str = "") -> str:
    """`text` with each character that has no shape as an escape, but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _is_hidden(char) else _escape(char) for char in text)


def encodable(text: str) -> str:
    """`text` with lone surrogates (bytes of a file name that are not text) as escapes; all else stays."""
    return "".join(_escape(char) if "\ud800" <= char <= "\udfff" else char for char in text)


def log_line(text: str) -> str:
    """`text` for a line of a log: one line, nothing hidden, and no logging command of Azure Pipelines.

    The agent takes `##vso[` anywhere in a line for a command, and `##[` for formatting: both get a `_`.
    """
    return _LIVE_PREFIX.sub(r"\g<0>_", visible(text))


def xml_text(text: str) -> str:
    """`text` for XML 1.0 (§2.2, Char), with its line feeds, and no logging command if it is printed."""
    return _LIVE_PREFIX.sub(r"\g<0>_", visible(text, keep="\n"))


def markdown_text(text: str) -> str:
    """`text` for a Markdown table cell or paragraph: one line in which no character has a meaning.

    Character references (CommonMark §2.5) never form structure, in any renderer and also within a table.
    """
    return re.sub(_MARKDOWN_ACTIVE, lambda match: f"&#{ord(match[0])};", visible(text))


def clipped(text: str, limit: int) -> str:
    """`text` cut to `limit` characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


def _escape(char: str) -> str:
    # U+DC80 to U+DCFF represent the bytes 0x80 to 0xFF of an undecodable file name (PEP 383).
    return repr(char)[1:-1].replace(r"\udc", r"\x")
