"""Draw the pictures of the overview and of the pages: log, summary, Tests tab and terminal of real runs, and what
shows them (tools/draw_pages.py).

`python tools/draw_pictures.py` writes those that pages show; `python tools/draw_pictures.py FOLDER 1 40 300` draws runs
with so many failures into a folder, to be looked at. Needs chromium and tmux on PATH, Pillow, and kspsign installed.

Each run signs Windows programs through the stand-in of DigiCert's host that the tests use. The words are the engine's
own; colours and arrangement are those of Azure Pipelines.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from draw_pages import draw_pages
from markdown_it import MarkdownIt
from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.pictured_runs import PicturedRun, run  # noqa: E402 - the tests' folder is found by the line above

WIDTH, NARROW = 1180, 920
"""Pixels; the Marketplace shows pages of 830, so that wider pictures could hardly be read."""
STYLES = (ROOT / "tools" / "site" / "pictures.css").read_text(encoding="utf-8")
_ISSUE = re.compile(r"##vso\[task\.logissue type=(\w+);[^\]]*\]")
_CASES = 22


def log_html(lines: Sequence[str], *, folded: bool) -> str:
    """The step's log as the agent shows it: issues as lines, other commands not at all, groups folded or open."""
    shown: list[tuple[str, str]] = []
    inside = False
    for line in lines:
        text = _ISSUE.sub(lambda match: f"##[{match[1]}]", line)
        mark = re.match(r"##\[(\w+)\]", text)
        kind = mark[1] if mark else ""
        if text.startswith("##vso[") or kind == "endgroup":
            inside = inside and kind != "endgroup"
        elif kind == "group":
            shown.append((("\u25b8 " if folded else "\u25be ") + text[len("##[group]") :], "group"))
            inside = folded
        elif not inside:
            shown.append((text.removeprefix("##[section]"), kind))
    rows = (f'<div class="{kind}"><i>{at}</i>{escape(text)}</div>' for at, (text, kind) in enumerate(shown, 1))
    return f'<div class="log">{"".join(rows)}</div>'


def summary_html(markdown: str) -> str:
    """The summary as the tab Extensions shows it."""
    return f'<div class="page">{MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)}</div>'


def tests_html(junit: str) -> str:
    """The tab Tests: numbers, the cases, failed ones first, and the details of the first."""
    cases = list(ET.fromstring(junit).iter("testcase"))  # noqa: S314 - our own run wrote it
    failed = [case for case in cases if len(case)]
    shown = sorted(cases, key=lambda case: not len(case))[:_CASES]
    rows = [_case_html(case, chosen=case is shown[0]) for case in shown]
    if len(cases) > _CASES:
        rows.append(f'<div class="case">... {len(cases) - _CASES} more</div>')
    details = ""
    if failed:
        error, name = failed[0][0], escape(failed[0].get("name", ""))
        details = (
            f"<h2>{name}</h2><b>Error message</b><pre>{escape(error.get('message', ''))}</pre>"
            f"<b>Stack trace</b><pre>{escape(error.text or '')}</pre>"
        )
    numbers = {"Total tests": len(cases), "Passed": len(cases) - len(failed), "Failed": len(failed)}
    head = "".join(f"<div>{name}<b>{number}</b></div>" for name, number in numbers.items())
    return (
        f'<div class="page"><div class="numbers">{head}</div>'
        f'<div class="split"><div>{"".join(rows)}</div><div>{details}</div></div></div>'
    )


def _case_html(case: ET.Element, *, chosen: bool) -> str:
    kind, mark = ("bad", "\u2716") if len(case) else ("good", "\u2714")
    name = escape(case.get("name", ""))
    return f'<div class="case{" chosen" if chosen else ""}"><span class="{kind}">{mark}</span> {name}</div>'


def terminal_html(screen: str) -> str:
    """What a terminal shows, with its colours."""
    console = Console(record=True, width=2000, file=tempfile.TemporaryFile("w+"))  # noqa: SIM115 - written to nowhere
    console.print(Text.from_ansi(screen.rstrip("\n")), soft_wrap=True)
    text = console.export_html(theme=MONOKAI, inline_styles=True, code_format="<pre>{code}</pre>")
    return f'<div class="terminal">{text}</div>'


def draw(body: str, target: Path, *, width: int = WIDTH, tall: int = 6000) -> None:
    """Render `body` with chromium and write it, without the empty rest of the page, as a PNG of 64 colours."""
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("chromium is missing")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        page.write_text(f'<meta charset="utf-8"><style>{STYLES}</style>{body}', encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={width},{tall}", f"--screenshot={shot}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB")
    empty = Image.new("RGB", picture.size, "#ffffff")
    box = ImageChops.difference(picture, empty).getbbox()
    bottom = box[3] if box else 0
    bottom += 16 if picture.getpixel((0, 0)) == (255, 255, 255) else 0
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.crop((0, 0, width, bottom)).quantize(64).save(target, optimize=True)


def programs() -> Path:
    """The folder with the programs that are signed: the launchers that pip carries."""
    spec = find_spec("pip._vendor.distlib")
    if spec is None or spec.origin is None:
        sys.exit("pip is missing: its launchers are the programs that are signed")
    return Path(spec.origin).parent


def draw_all(made: PicturedRun, folder: Path, name: str) -> None:
    """The four pictures of one run."""
    draw(log_html(made.log, folded=len(made.log) > 60), folder / f"{name}-log.png")
    draw(summary_html(made.summary), folder / f"{name}-summary.png")
    draw(tests_html(made.junit), folder / f"{name}-tests.png")
    draw(terminal_html(made.screen), folder / f"{name}-terminal.png")


def main() -> None:
    """Draw what pages show, or runs with as many failures as the arguments say."""
    launchers = programs()
    if len(sys.argv) > 1:
        for failures in map(int, sys.argv[2:]):
            draw_all(run(launchers, failures), Path(sys.argv[1]), str(failures))
        return
    green, red, many = run(launchers, 0), run(launchers, 1), run(launchers, 40)
    draw(log_html(green.log, folded=False), ROOT / "images" / "green.png", width=NARROW)
    draw(log_html(red.log, folded=False), ROOT / "images" / "red.png", width=NARROW)
    draw(summary_html(red.summary), ROOT / "images" / "summary.png", width=NARROW)
    draw(log_html(many.log, folded=True), ROOT / "docs" / "images" / "red-log.png")
    draw(summary_html(many.summary), ROOT / "docs" / "images" / "red-summary.png")
    draw(tests_html(many.junit), ROOT / "docs" / "images" / "red-tests.png")
    draw(terminal_html(many.screen), ROOT / "docs" / "images" / "red-terminal.png")
    draw_pages(red)


if __name__ == "__main__":
    main()
