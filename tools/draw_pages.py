"""Draw the pictures of the HTML page, the tab and the hub: the built pages in a real browser, with reports of real
runs.

`python tools/draw_pages.py` writes these alone; tools/draw_pictures.py writes all pictures. Needs chromium, Pillow,
Playwright and `make page`.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FrameLocator, expect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from kspsign.azure_devops import TASK_ID  # noqa: E402 - likewise
from kspsign.model.report import Report  # noqa: E402 - likewise
from kspsign.publishing.page import page_pieces  # noqa: E402 - likewise
from kspsign.publishing.records import VERIFIED_TAG  # noqa: E402 - likewise
from support.azure_devops.server import AzureServer  # noqa: E402 - the tests' folder is found by the line above
from support.pictured_runs import PicturedRun, run  # noqa: E402 - likewise
from support.ui.browser import Watched, open_browser, opened  # noqa: E402 - likewise
from support.ui.host import BUILD, hosted  # noqa: E402 - likewise
from support.ui.uploads import upload  # noqa: E402 - likewise

WIDTH, HEIGHT = 1180, 1000
COLOURS = 128
TALLEST = 1250
"""Pixels of a picture of the overview."""
WEEKS = 12


def draw_pages(red: PicturedRun) -> None:
    """The page and the tab of a `red` run, and the hub over weeks in some of which it came up."""
    with open_browser() as browser:
        _draw_page(browser, red.report, ROOT / "docs" / "images" / "page.png")
        _draw_tab(browser, red.report, ROOT / "images" / "tab.png")
        _draw_hub(browser, red.report, ROOT / "images" / "hub.png")


def _draw_page(browser: Browser, report: Report, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signatures.html"
        path.write_text("".join(page_pieces(report)), encoding="utf-8")
        with opened(browser, path, width=WIDTH, height=HEIGHT) as page:
            page.page.locator("[role=treeitem]:not([aria-expanded])").first.click()
            _save(page, target, whole=True)


def _draw_tab(browser: Browser, report: Report, target: Path) -> None:
    with AzureServer() as azure:
        _add_build(azure, BUILD, report, datetime.now(UTC))
        with hosted(browser, azure, "tab") as (page, frame):
            expect(frame.locator("table.gate")).to_be_visible()
            frame.locator("[role=treeitem]:not([aria-expanded])").last.click()
            _save_frame(page, frame, target)


def _draw_hub(browser: Browser, report: Report, target: Path) -> None:
    """The red run once a month, and what it came to without its failures in the other weeks."""
    with AzureServer() as azure:
        for week in range(WEEKS):
            finished = datetime.now(UTC) - timedelta(weeks=week)
            _add_build(azure, 100 - week, report if week % 5 == 3 else _green(report), finished)
        with hosted(browser, azure, "hub") as (page, frame):
            expect(frame.get_by_role("status").first).to_have_text(f"{WEEKS} builds of {WEEKS} read")
            frame.get_by_role("searchbox").fill("Core.dll")
            _save_frame(page, frame, target)


def _green(report: Report) -> Report:
    """The report as it is without the files that failed."""
    good = tuple(file for file in report.files if file.error is None)
    totals = replace(
        report.totals, matched=len(good), signed=len(good), verified=len(good), failed=0, unverified=0, left=0
    )
    return replace(report, files=good, totals=totals, passed=True, exit_code=0, error=None)


def _add_build(azure: AzureServer, number: int, report: Report, finished: datetime) -> None:
    build = azure.organisation.add_build(number)
    build.status, build.result = "completed", "succeeded" if report.passed else "failed"
    build.finished = f"{finished:%Y-%m-%dT%H:%M:%SZ}"
    upload(build, build.add_step(build.add_job(), TASK_ID, result=build.result), report)
    if report.passed:
        build.tags.append(VERIFIED_TAG)


def _save_frame(page: Watched, frame: FrameLocator, target: Path) -> None:
    """The frame as high as its content, as the host shows it."""
    height = int(frame.locator("#app").evaluate("app => Math.ceil(app.getBoundingClientRect().height)"))
    page.page.set_viewport_size({"width": WIDTH, "height": min(height, TALLEST)})
    page.page.wait_for_timeout(200)
    _save(page, target, whole=False)


def _save(page: Watched, target: Path, *, whole: bool) -> None:
    picture = Image.open(io.BytesIO(page.page.screenshot(full_page=whole))).convert("RGB")
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS).save(target, optimize=True)


def main() -> None:
    """These pictures alone."""
    spec = find_spec("pip._vendor.distlib")
    if spec is None or spec.origin is None:
        sys.exit("pip is missing: its launchers are the programs that are signed")
    launchers = Path(spec.origin).parent
    draw_pages(run(launchers, 1, terminal=False))


if __name__ == "__main__":
    main()
