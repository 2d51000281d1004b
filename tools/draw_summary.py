"""Draw the overview's second picture: the summary of a real run as the run's page shows it.

Needs Pillow and a font: python tools/draw_summary.py FONT.ttf, with kspsign installed. It knows of Markdown what the
summary uses: headings, a quote, tables, bold, links, line breaks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from draw_log import MARGIN, WIDTH, run_step
from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).resolve().parent.parent / "images" / "summary.png"
PAPER, INK, FAINT, BAD = "#ffffff", "#201f1e", "#e1dfdd", "#a80000"
SIZES = {"# ": 26, "## ": 20}
TEXT_SIZE, PADDING, CELL_LIMIT = 14, 10, 44


class Page:
    """A picture that is filled from top to bottom."""

    def __init__(self, font_file: str) -> None:
        self._font_file = font_file
        self._image = Image.new("RGB", (WIDTH, 2000), PAPER)
        self._canvas = ImageDraw.Draw(self._image)
        self._y = MARGIN

    def line(self, text: str, size: int = TEXT_SIZE, colour: str = INK) -> None:
        """One line of text."""
        font = ImageFont.truetype(self._font_file, size)
        self._canvas.text((MARGIN, self._y), text, colour, font)
        self._y += int(size * 1.8)

    def table(self, rows: list[list[str]]) -> None:
        """A table with a head row; cells are wrapped."""
        font = ImageFont.truetype(self._font_file, TEXT_SIZE)
        wrapped = [[_wrapped(cell) for cell in row] for row in rows]
        columns = [
            max(font.getlength(line) for cell in column for line in cell) for column in zip(*wrapped, strict=True)
        ]
        for number, row in enumerate(wrapped):
            height = max(len(cell) for cell in row) * int(TEXT_SIZE * 1.4) + PADDING
            x = float(MARGIN)
            for cell, width in zip(row, columns, strict=True):
                self._canvas.multiline_text((x, self._y + PADDING // 2), "\n".join(cell), INK, font)
                x += width + 3 * PADDING
            self._y += height
            self._canvas.line((MARGIN, self._y, WIDTH - MARGIN, self._y), FAINT, 2 if number == 0 else 1)
        self._y += PADDING

    def save(self) -> None:
        """Write what was filled."""
        self._image.crop((0, 0, WIDTH, self._y + MARGIN)).quantize(64).save(TARGET, optimize=True)


def _wrapped(cell: str) -> list[str]:
    lines: list[str] = []
    for part in cell.split("<br>"):
        lines.append("")
        for word in part.split():
            if lines[-1] and len(lines[-1]) + len(word) > CELL_LIMIT:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def draw(summary: list[str], font_file: str) -> None:
    """Write the picture."""
    page, rows = Page(font_file), list[list[str]]()
    for line in [*summary, ""]:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"\*\*|\\(?=\W)", "", line))
        if line.startswith("|"):
            rows.append([cell.strip() for cell in text.strip("|").split("|")])
            continue
        if rows:
            page.table([row for row in rows if not set("".join(row)) <= set("- ")])
            rows = []
        mark = next((mark for mark in SIZES if text.startswith(mark)), "")
        if text:
            page.line(
                text.removeprefix(mark).removeprefix("> "), SIZES.get(mark, TEXT_SIZE), BAD if ">" in text[:1] else INK
            )
    page.save()


if __name__ == "__main__":
    draw(run_step()[1], sys.argv[1])
