"""The HTML page of `kspsign reconcile` in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.key_logs.asking import reconcile
from support.key_logs.examples import HOSTILE, key_vault
from support.key_logs.stories import Story, moment, request_id
from support.ui.browser import opened


def compared(folder: Path, *, thief: str | None) -> Path:
    """The page of a build of two files, with a use by `thief` in the log."""
    story = Story(folder)
    story.build(7, ("a.exe", "b.dll"))
    records = [key_vault(request_id((7, name)), moment()) for name in ("a.exe", "b.dll")]
    if thief is not None:
        records.append(key_vault(thief, moment(5), application=thief))
    story.log(records)
    page = folder / "uses.html"
    said = reconcile(folder, ledger=tuple(story.ledgers), key_log=tuple(story.logs), html=page)
    assert said.code == (0 if thief is None else 8), said.error
    return page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_alarm_comes_first_and_is_filtered_alone(browser: Browser, tmp_path: Path, *, dark: bool) -> None:
    path = compared(tmp_path, thief=f"</script><img src=x onerror=window.hacked=1>{HOSTILE}")
    with opened(browser, path, dark=dark, width=700) as page:
        assert page.text("h1").endswith("Uses of the key: unaccounted")
        assert page.text(".counts").startswith("UNACCOUNTED: 1 use that no build accounts for")
        headings = page.page.locator("h2").all_inner_texts()
        assert headings[0] == "Uses that no build accounts for (1)"
        assert headings[-1] == "Uses that a build accounts for (2)"
        page.page.get_by_role("button", name="Unaccounted uses only").press("Enter")
        page.page.get_by_role("status").filter(has_text="1 row").wait_for()
        assert page.page.locator("h2").all_inner_texts() == headings[:1]
        assert "<img src=x onerror=window.hacked=1>" in page.text("tbody")
        assert not {"\u202e", "\x1b"} & set(page.text("tbody"))
        assert page.page.evaluate("window.hacked === undefined")
        page.page.get_by_role("button", name="Unaccounted uses only").press("Enter")
        page.page.get_by_role("searchbox").fill("B.DLL")
        page.page.get_by_role("status").filter(has_text="1 row").wait_for()
        assert not page.overflows()
        assert page.serious_faults() == []
        assert (page.faults, page.requests) == ([], [path.as_uri()])


def test_a_use_for_each_signature_passes(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, compared(tmp_path, thief=None)) as page:
        assert page.text("h1").endswith("Uses of the key: accounted")
        assert page.page.get_by_role("button", name="Unaccounted uses only").count() == 0
        assert "Uses that no build accounts for" not in page.text("main")


def test_the_page_is_no_input(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.build(7, ("a.exe",))
    story.log([key_vault(request_id((7, "a.exe")), moment())])
    said = reconcile(tmp_path, ledger=tuple(story.ledgers), key_log=tuple(story.logs), html=story.logs[0])
    assert said.code == 3
    assert "names that file too" in said.error
