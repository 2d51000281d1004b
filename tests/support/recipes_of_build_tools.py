"""The lines of the pages in docs/how-to/build-tools, as a test pastes them."""

from __future__ import annotations

import re

from support.places import ROOT

PUBLIC_SERVER = "http://timestamp.digicert.com"


def recipe(page: str, number: int = 0) -> str:
    """The block of that number on the page, without its fence."""
    text = (ROOT / "docs" / "how-to" / "build-tools" / f"{page}.md").read_text(encoding="utf-8")
    return str(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[number])


def stamped_by(lines: str, server: str) -> str:
    """The lines with a timestamp server of the test."""
    assert PUBLIC_SERVER in lines
    return lines.replace(PUBLIC_SERVER, server)
