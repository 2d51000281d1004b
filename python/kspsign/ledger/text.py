"""Texts as a line of a ledger can hold them."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 4096
"""Characters of a text in a line."""


def fit_text(text: str) -> str:
    """`text` as a line can hold it: names of files and variables may have bytes that do not decode."""
    return text.encode("utf-8", "backslashreplace").decode()[:MAX_TEXT]
