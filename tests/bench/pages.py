"""Sizes of the built pages, and how long the HTML page takes to open and what it needs, for many files.

`python tests/bench/pages.py` prints the table that docs/performance.md has. Needs chromium and `make page`.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from kspsign.publishing.page import page_pieces, page_template  # noqa: E402 - likewise
from support.ui.browser import open_browser, watched  # noqa: E402 - the tests' folder is found by the line above
from support.ui.host import EXTENSION  # noqa: E402 - likewise
from support.ui.reports import report_of  # noqa: E402 - likewise

SIZES = (40, 10_000, 100_000)
ROUNDS = 5


def main() -> None:
    """Print both tables."""
    print("| part | KB | as gzip |\n|---|---:|---:|")
    template = "".join(page_template()).encode()
    parts = {"the page without a report": template}
    parts |= {f"the extension's {path.name}": path.read_bytes() for path in sorted(EXTENSION.iterdir())}
    for name, content in parts.items():
        print(f"| {name} | {len(content) // 1000} | {len(gzip.compress(content)) // 1000} |")
    heads = ("files", "page, MB", "to the first view, s", "of these a processor, s", "filtered, s", "memory, MB")
    print(f"\n| {' | '.join(heads)} |\n{'|---:' * len(heads)}|")
    with open_browser() as browser, tempfile.TemporaryDirectory() as folder:
        for files in SIZES:
            page = Path(folder) / f"{files}.html"
            with page.open("w", encoding="utf-8") as out:
                out.writelines(page_pieces(report_of(files, files // 100)))
            rounds = [measured(browser, page) for _ in range(ROUNDS)]
            first, busy, search, memory = (statistics.median(column) for column in zip(*rounds, strict=True))
            size = page.stat().st_size / 1e6
            print(f"| {files:,} | {size:.1f} | {first:.2f} | {busy:.2f} | {search:.2f} | {memory:.0f} |")


def measured(browser: Browser, path: Path) -> tuple[float, float, float, float]:
    """Seconds to the first view, of these those that the page's thread had a processor, to the list after a word was
    typed; and MB of the page's objects."""
    with watched(browser) as shown:
        session = shown.page.context.new_cdp_session(shown.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        started = time.perf_counter()
        shown.page.goto(path.as_uri())
        shown.page.wait_for_selector("h1")
        first = time.perf_counter() - started
        metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
        started = time.perf_counter()
        shown.page.get_by_role("searchbox").fill("module07")
        shown.page.locator(".shown", has_text=" of ").wait_for()
        search = time.perf_counter() - started
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")["usedSize"]
        return first, metrics["TaskDuration"], search, used / 1e6


if __name__ == "__main__":
    main()
