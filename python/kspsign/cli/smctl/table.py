"""Tables as smctl prints them: a line of titles, columns that are two blanks apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from kspsign.publishing.sanitize import log_line


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """Print `rows` below `titles`."""
    shown = [[*titles], *([log_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(titles))]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in shown)
    out.writelines(f"{line.rstrip()}\n" for line in lines)
