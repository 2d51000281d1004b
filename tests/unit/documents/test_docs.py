"""Documentation is held to the program: each command, setting and link in it, on each page, also those to come.

Pipelines in YAML blocks are held by test_pipelines.py.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from kspsign.cli.main import build_parser, main
from kspsign.cli.options import settings_fields
from kspsign.diagnosis.catalogue import catalogue
from kspsign.keys.table import STORES
from kspsign.settings.resolve import resolve
from support.documentation.reading import SHELL, Block, Command, blocks, commands, pages, shell_lines
from support.places import ROOT

BLOCKS = blocks()
COMMANDS = commands()
READ_ONLY = {"explain", "schema", "--version"}
"""Commands that need nothing but themselves: they are run."""


@cache
def parser() -> argparse.ArgumentParser:
    """That of every command: it is asked for each command of the pages."""
    return build_parser()


@cache
def options(command: str) -> frozenset[str]:
    """The options of a command; KeyError when there is none of that name."""
    (action,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return frozenset(action.choices[command]._option_string_actions)  # noqa: SLF001 - argparse shows them nowhere else


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.place} {' '.join(command.arguments)}")
def test_every_command_is_one(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    name, *words = command.arguments
    if name != "--version":
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options(name)
        if command.whole:
            parser().parse_args(command.arguments)
    if name in READ_ONLY and words and words != ["-"]:
        assert main(command.arguments) == 0, capsys.readouterr().out


def test_commands_are_found_wherever_they_stand() -> None:
    places = {command.place.partition(":")[0] for command in COMMANDS}
    assert {"README.md", "docs/reference/gate.md", "docs/how-to/windows.md", "docs/troubleshooting.md"} <= places
    assert len({command.arguments for command in COMMANDS}) > 25


def test_a_wrong_command_is_refused() -> None:
    for words in ("run --key-store hsm", "sign --digest sha1 x.exe", "publish x.exe", "gate --wait soon"):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(words.split())
        assert ended.value.code == 3


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_every_block_can_be_read(block: Block) -> None:
    """JSON, YAML and Python parse; `yaml` is for pipelines, `yml` for other files; one is named in its first line."""
    assert block.language in SHELL | {"yaml", "yml", "json", "text", "python"}, "say what the block is"
    if block.language == "json":
        json.loads(block.text)
    if block.language == "python":
        compile(block.text, block.place, "exec")
    if block.language in {"yaml", "yml"}:
        content = yaml.safe_load(block.text)
        if block.text.startswith("# kspsign.yml"):
            assert set(content) <= set(settings_fields())
            named = {str(value): "x" for name, value in content.items() if name.endswith("_env")}
            resolve("run", content, environment=named, stores=STORES)


def test_what_replaces_another_tool_s_option_is_ours() -> None:
    """In the tables of docs/migrate the last column names our options, or inputs of our task."""
    inputs = {
        declared["name"] for declared in json.loads((ROOT / "task/KspSign/task.json").read_text("utf-8"))["inputs"]
    }
    seen = set()
    for page, text in pages().items():
        for row in re.findall(r"^\|.*\|$", text, re.MULTILINE) if page.startswith("docs/migrate/") else ():
            for span in re.findall(r"`([^`]+)`", row.split("|")[-2]):
                if span.startswith("--"):
                    named = set(re.findall(r"--[\w-]+", span))
                    assert named <= options("run"), f"{page}: {span}"
                    seen |= named
                elif re.fullmatch(r"[a-z]+(?:[A-Z][a-z]+)+", span):
                    assert span in inputs, f"{page}: {span}"
                    seen.add(span)
    assert len(seen) > 40


def test_every_tool_and_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, text in pages().items():
        named = set(re.findall(r"`make ([a-z-]+)", text))
        assert named <= targets, page
        for path in re.findall(r"\b(tools/\w+\.py)", text):
            assert (ROOT / path).is_file(), page


def test_every_call_of_create_check_does_what_it_says() -> None:
    called = 0
    for line in (line for block in BLOCKS if block.language in SHELL for line in shell_lines(block)):
        if "tools/create_check.py" in line:
            words = line.split()[line.split().index("tools/create_check.py") + 1 :]
            run = subprocess.run(
                [sys.executable, ROOT / "tools" / "create_check.py", *words, "--print"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (run.returncode, run.stderr) == (0, "")
            assert json.loads(run.stdout)
            called += 1
    assert called == 2


@pytest.mark.parametrize("page", sorted(pages()))
def test_every_link_leads_somewhere(page: str) -> None:
    text = pages()[page]
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        path, _hash, anchor = target.partition("#")
        base = ROOT if page == "task/overview.md" else (ROOT / page).parent  # where the package has it
        leads = base / path if path else ROOT / page
        assert leads.exists(), target
        if anchor and leads.suffix == ".md":
            assert anchor in _anchors(leads), target


def test_every_page_that_a_program_names_is_there() -> None:
    """Remedies, descriptions of inputs and comments name pages by their paths, without a link."""
    named = 0
    for path in (path for folder in ("python", "task", "pipelines", "tools") for path in (ROOT / folder).rglob("*")):
        if path.suffix in {".py", ".yml", ".json", ".ts"} and "node_modules" not in path.parts:
            for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8")):
                assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)} names {page}"
                named += 1
    assert named > 10


def test_every_failure_has_the_anchor_that_a_run_prints() -> None:
    anchors = _anchors(ROOT / "docs" / "troubleshooting.md")
    assert {failure.id for failure in catalogue().failures} <= anchors


def _anchors(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))
