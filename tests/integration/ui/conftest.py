"""What the tests of the pages share: one browser for each file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.ui.browser import open_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. While it is open the thread has a running event loop, which other tests must not meet."""
    with open_browser() as browser:
        yield browser
