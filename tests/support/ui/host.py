"""Azure DevOps' pages on loopback: a host that speaks the extension SDK's protocol, and the place of the extension's
files, which is another site."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, FrameLocator

from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.state import PROJECT
from support.loopback import LoopbackServer, SilentHandler
from support.places import ROOT
from support.ui.browser import Watched, watched

EXTENSION = ROOT / "build" / "ui" / "extension"
_HOST = Path(__file__).with_name("host.html")
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
BUILD = 4711
"""The run that the tab is shown for."""
THEMES = {
    False: {"background-color": "rgba(255, 255, 255, 1)", "text-primary-color": "rgba(0, 0, 0, 0.9)"},
    True: {"background-color": "rgba(32, 31, 30, 1)", "text-primary-color": "rgba(255, 255, 255, 0.9)"},
}
"""The host's colours, light and dark."""


class PageServer:
    """Serves these texts by their paths."""

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        class Handler(SilentHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                content = pages.get(path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Type", _TYPES.get(Path(path).suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

        self.server = LoopbackServer(Handler)


@contextlib.contextmanager
def hosted(
    browser: Browser,
    azure: AzureServer,
    page: str,
    *,
    dark: bool = False,
    extension: str = "kspsign",
    without: str = "",
) -> Iterator[tuple[Watched, FrameLocator]]:
    """The extension's page ("tab", "hub") as Azure DevOps shows it: the whole page, and the extension's frame. The
    host's service whose name ends in `without` refuses."""
    files = {f"/{path.name}": path.read_bytes() for path in EXTENSION.iterdir()}
    with PageServer(files).server as extension_server:
        values = {
            "page": f"{extension_server.url}/{page}.html",
            "contribution": f"contoso.{extension}.{page}",
            "extension": extension,
            "collection": f"{azure.url}/",
            "project": PROJECT,
            "token": TOKEN,
            "build": BUILD,
            "theme": THEMES[dark],
            "without": without,
        }
        text = _HOST.read_text(encoding="utf-8").replace("@HOST@", json.dumps(values))
        with PageServer({"/host.html": text.encode()}).server as host, watched(browser) as shown:
            shown.page.goto(f"{host.url}/host.html")
            yield shown, shown.page.frame_locator("iframe")
