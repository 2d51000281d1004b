"""Draw the overview's picture: the log of a real step over four Windows programs, one of them damaged.

Needs Pillow and a monospaced font: python tools/draw_log.py FONT.ttf, with kspsign installed. The words are the
engine's own; colours and the form of issues are those of the agent's log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).resolve().parent.parent / "images" / "log.png"
WIDTH, MARGIN, LINE, SIZE = 1366, 24, 26, 16
BACKGROUND, TEXT = "#1e1e1e", "#d4d4d4"
COLOURS = {"error": "#f48771", "warning": "#e2c08d", "section": "#89d185", "group": "#75beff"}
_ISSUE = re.compile(r"##vso\[task\.logissue type=(\w+);[^\]]*\]")


def run_step() -> tuple[list[str], list[str]]:
    """The engine's output in a step of Azure Pipelines, and the lines of its summary."""
    spec = find_spec("pip._vendor.distlib")
    if spec is None or spec.origin is None:
        sys.exit("pip is missing: its launchers are the programs that are signed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for launcher in ("t32.exe", "t64.exe", "w64.exe", "t64-arm.exe"):
            shutil.copyfile(Path(spec.origin).parent / launcher, folder / launcher)
        damaged = folder / "t64-arm.exe"
        damaged.write_bytes(damaged.read_bytes()[:700])
        command = [sys.executable, "-m", "kspsign", "run", "*.exe", "--key-store", "embedded", "--store", "store"]
        command += ["--summary", "summary.md"]
        environment = {**os.environ, "TF_BUILD": "True", "AGENT_TEMPDIRECTORY": name}
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )
        summary = (folder / "summary.md").read_text(encoding="utf-8")
    return run.stdout.splitlines(), summary.splitlines()


def agent_lines(output: list[str]) -> list[tuple[str, str]]:
    """Text and colour of each line as the agent's log shows it: issues as lines, other commands not at all."""
    lines = []
    for line in output:
        text = _ISSUE.sub(lambda match: f"##[{match[1]}]", line)
        mark = re.match(r"##\[(\w+)\]", text)
        if text.startswith("##vso[") or text == "##[endgroup]":
            continue
        kind = mark[1] if mark else ""
        shown = text[mark.end() :] if mark and kind in ("group", "section") else text
        lines.append((("\u25be " if kind == "group" else "") + shown, COLOURS.get(kind, TEXT)))
    return lines


def draw(lines: list[tuple[str, str]], font_file: str) -> None:
    """Write the picture, long lines wrapped."""
    font = ImageFont.truetype(font_file, SIZE)
    columns = int((WIDTH - 2 * MARGIN) / font.getlength("x"))
    rows = [(text[at : at + columns], colour) for text, colour in lines for at in range(0, len(text), columns)]
    picture = Image.new("RGB", (WIDTH, 2 * MARGIN + LINE * len(rows)), BACKGROUND)
    canvas = ImageDraw.Draw(picture)
    for number, (text, colour) in enumerate(rows):
        canvas.text((MARGIN, MARGIN + LINE * number), text, colour, font)
    picture.quantize(64).save(TARGET, optimize=True)


if __name__ == "__main__":
    draw(agent_lines(run_step()[0]), sys.argv[1])
