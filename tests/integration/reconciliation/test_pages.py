"""The commands of the pages on reconciliation, run as they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from support.documentation.reading import SHELL, Block, blocks, shell_lines
from support.key_logs.examples import key_vault
from support.key_logs.stories import START, Story, moment, request_id
from support.samples import kspsign_at

PAGES = {"docs/how-to/reconcile.md", "docs/reference/key-logs.md"}
MINUTES = (datetime(2026, 11, 2, tzinfo=UTC) - START).total_seconds() / 60
"""After the day that the page names."""


def runnable() -> list[Block]:
    """Blocks of kspsign's own commands."""
    return [
        block
        for block in blocks()
        if block.page in PAGES and block.language in SHELL and block.text.startswith("kspsign reconcile")
    ]


@pytest.mark.parametrize("block", runnable(), ids=lambda block: block.place)
def test_a_command_finds_what_its_page_says(block: Block, tmp_path: Path) -> None:
    (tmp_path / "ledgers").mkdir()
    story = Story(tmp_path / "ledgers")
    story.build(7, ("a.exe",), minutes=MINUTES)
    story.folder = tmp_path
    story.log([key_vault(request_id((7, "a.exe")), moment(MINUTES))], "keyvault-log.json")
    digest = sha256(b"a.exe").hexdigest()
    (tmp_path / "hsm.csv").write_text(f"When,Hash\n{moment(MINUTES)},{digest}\n", encoding="utf-8")
    (command,) = shell_lines(block)
    run = kspsign_at(*command.split()[1:], folder=tmp_path)
    assert (run.code, run.report["result"]) == (0, "accounted"), run.text
    assert run.report["totals"]["uses"] == 1


def test_both_pages_have_commands() -> None:
    assert {block.page for block in runnable()} == PAGES
