"""Chromium, driven by Playwright: pages that must load nothing, run nothing of a report, and be usable by everyone."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from support.places import ROOT

AXE = ROOT / "task" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PROGRAMS = ("chromium", "google-chrome", "chrome")
_SERIOUS = {"serious", "critical"}
_GATHER = "() => axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium as the system has it; a machine without one fails the test."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    assert program is not None, "chromium is missing: tools/install_peers.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, with everything that went wrong in it and all that it asked for."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "console", lambda said: self.faults.append(said.text) if said.type in {"error", "warning"} else None
        )
        self.page.on("request", lambda request: self.requests.append(request.url))

    def text(self, selector: str) -> str:
        """The text of the first element that the selector finds."""
        return self.page.locator(selector).first.inner_text()

    def overflows(self) -> bool:
        """Whether the page is wider than its window, so that it must be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1"))

    def serious_faults(self) -> list[str]:
        """What axe-core finds that keeps people from using the page (of a host's, the frame in it), with the first
        element of each."""
        frame = self.page.frames[-1]
        # Inserted as Playwright evaluates it: the page's policy permits no script but its own.
        frame.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = frame.evaluate(_GATHER)
        return [
            f"{fault['id']}: {json.dumps(fault['nodes'][0]['html'])[:300]}"
            for fault in found
            if fault["impact"] in _SERIOUS
        ]


@contextlib.contextmanager
def watched(browser: Browser, *, dark: bool = False, width: int = 1280, height: int = 900) -> Iterator[Watched]:
    """A page in a context of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    yield Watched(context.new_page())
    context.close()


@contextlib.contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Watched]:
    """The HTML page of a run, opened from disk and shown."""
    with watched(browser, **options) as page:
        page.page.goto(path.as_uri())
        page.page.wait_for_selector("h1")
        yield page
