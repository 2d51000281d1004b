"""What the documentation tells people to type: its fenced blocks, and the kspsign commands in blocks, YAML and text."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from support.places import ROOT

SHELL = frozenset({"", "sh", "bash", "console"})
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(kspsign [^`\n]+)`(?!`)")
_MACRO = re.compile(r"\$\([\w.]+\)|\$\{\{.*?\}\}")
_ASSIGNMENT = re.compile(r"\w+=")
_OPERATORS = frozenset("();<>|&")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it starts, its language ("" when none is named) and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """The arguments of one kspsign command, and where people find it; in running text it may be a part of one."""

    place: str
    arguments: tuple[str, ...]
    whole: bool = True


def pages() -> dict[str, str]:
    """Every page that people read, by its path."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "task").glob("*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(found)}


def blocks() -> list[Block]:
    """All fenced blocks of all pages."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], textwrap.dedent(found[3]))
        for page, text in pages().items()
        for found in _FENCE.finditer(text)
    ]


def shell_lines(block: Block) -> list[str]:
    """The commands of a block, continued lines joined; with a prompt, what follows it, and the rest is output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return prompted or lines


def commands() -> list[Command]:
    """Every kspsign command in shell blocks, in scripts of YAML blocks, and in code spans of the text."""
    found: list[Command] = []
    for block in blocks():
        lines = shell_lines(block) if block.language in SHELL else []
        if block.language == "yaml":
            lines = [line for script in _scripts(yaml.safe_load(block.text)) for line in script.splitlines()]
        found += [Command(block.place, words) for line in lines for words in in_line(line)]
    for page, text in pages().items():
        spans = _SPAN.findall(_FENCE.sub("", text))
        found += [
            Command(page, words, whole=False) for span in spans if not _placeholder(span) for words in in_line(span)
        ]
    return found


def in_line(line: str) -> Iterator[tuple[str, ...]]:
    """The arguments of each kspsign command in a line of shell."""
    if "kspsign" not in line:
        return
    lexer = shlex.shlex(_MACRO.sub("MACRO", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for token in [*lexer, ";"]:
        if not set(token) <= _OPERATORS:
            words.append(token)
            continue
        while words and _ASSIGNMENT.match(words[0]):
            words.pop(0)
        if words and words[0] == "kspsign":
            yield tuple(words[1:])
        words = []


def _placeholder(span: str) -> bool:
    return "..." in span or not {"COMMAND", "CODE"}.isdisjoint(span.split())


def _scripts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in {"script", "bash", "run"} and isinstance(value, str))
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _scripts(child)
