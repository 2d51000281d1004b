"""The words of the code, the messages and the pages: those of the field (docs/reference/glossary.md), one per thing."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.diagnosis.catalogue import Failure, catalogue
from support.places import ROOT
from support.sources import nodes_of, text_of

pytestmark = pytest.mark.no_cover  # it reads sources and runs none
SOURCES = sorted(
    path
    for folder in ("python/kspsign", "task/engine", "tools")
    for path in (ROOT / folder).rglob("*.py")
)  # fmt: skip
GENERATED = {"docs/fault-matrix.md", "docs/troubleshooting.md"}
"""Pages that quote other programs; their text is data of the engine or comes from runs."""
PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "task/*.md")
    for path in ROOT.glob(pattern)
    if path.relative_to(ROOT).as_posix() not in GENERATED
)
PHRASES = {
    r"(?<!here )(?<!here's )\b(?:is|are) no (?!longer\b|more\b|such\b)": "is not a ...",
    r"\bbeside\b": "next to, in addition to, besides",
    r"(?<!left )(?<!signature )\bbehind\b(?! (?:a|its|the) (?:\w+ )?pro)": "after, past the end of",
    r"\bnobody\b|\bsomebody\b": "say who or what, or use the passive",
    r"\btells? of\b|\bis told\b|\bare told\b|\bto be told\b": "declares, records, receives",
    r"\bstands? (?:in|for|at|twice|beside|behind|before|where)\b": "is in, means, occurs",
    r"\banew\b": "again, re- (rewrite, rebuild)",
    r"can't be had\b": "could not be obtained",
    r"\bmake[s]? anew\b|\bmend(?:s|ed)?\b": "fix, repair",
    r"letter by letter": "exactly",
    r"; there: ": "; available: ",
    r"(?m)^\s+fix: ": "remedy:",
    r"the gate says no": "the gate refuses",
    r"(?<!http)\(s\)": "singular or plural, by the number: model/plurals.py",
}
"""What is not written, and what is written instead."""
NAMES = {
    "each": "a noun: what the loop goes over",
    "Desks": "LocalSlots",
    "Workplace": "SharedState",
    "Workbench": "StagingFolder",
    "Halt": "CircuitBreaker",
    "Teller": "GateReporter",
    "Once": "SingleFlight",
    "_Once": "SingleFlight",
    "lasting_faults": "time_independent_faults",
}
_EACH = "each"
LOOP_OVER_EACH = re.compile(
    rf"\bfor (?:\(?\w+\)?, )*{_EACH}(?:, \w+)* in\b|\blambda (?:\w+, )*{_EACH}\b|^\s*{_EACH} = ", re.MULTILINE
)
ALLOWED = {
    ("python/kspsign/doctor/network.py", "behind"),
    ("docs/performance.md", "behind"),
    ("python/kspsign/cli/signtool/", r"\(s\)"),
    ("python/kspsign/cli/smctl/", r"\(s\)"),
}
"""Where such a word is right: clocks that are behind, and messages of other programs, word by word."""


def found(text: str, place: str) -> list[str]:
    """The phrases in `text`, each with what to write."""
    return [
        f"{place}: {' '.join(text[max(hit.start() - 30, 0) : hit.end() + 30].split())!r}: {instead}"
        for phrase, instead in PHRASES.items()
        if not any(place.startswith(file) and word in phrase for file, word in ALLOWED)
        for hit in re.finditer(phrase, text)
    ]


def texts(path: Path) -> Iterator[str]:
    """The comments and string literals of a Python source."""
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            yield token.string
    for node in nodes_of(path):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def names(path: Path) -> set[str]:
    """The names that a Python source binds."""
    bound: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            bound.add(node.name)
    return bound


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_is_written_in_the_field_s_words(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    assert not {name: NAMES[name] for name in names(path) & NAMES.keys()}
    assert not [fault for text in texts(path) for fault in found(text, place)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_are_written_in_the_field_s_words(path: Path) -> None:
    assert not found(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("failure", catalogue().failures, ids=lambda failure: failure.id)
def test_failures_are_explained_in_the_field_s_words(failure: Failure) -> None:
    texts_of_failure = (failure.title, failure.cause, failure.remedy)
    assert not [fault for text in texts_of_failure for fault in found(text, f"failures.yml: {failure.id}")]


def test_loops_of_tests_name_what_they_go_over() -> None:
    """By their text: to parse all tests takes seconds."""
    paths = (ROOT / "tests").rglob("*.py")
    assert not [path.name for path in paths if LOOP_OVER_EACH.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("loop", ["for EACH in x", "(y for name, EACH in x)", "key=lambda EACH: y", "  EACH = next(x)"])
def test_a_loop_that_does_not_is_found(loop: str) -> None:
    assert LOOP_OVER_EACH.search(loop.replace("EACH", _EACH))
    assert not LOOP_OVER_EACH.search("for each of them in a sentence")


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(path.relative_to(ROOT).as_posix())
    assert not {name: files for name, files in places.items() if len(files) > 1}


@pytest.mark.parametrize("text", ["x is no PKCS#12 file", "bytes behind the end", "no CA; there: none", "written anew"])
def test_what_is_not_written_is_found(text: str) -> None:
    assert found(text, "a page")


@pytest.mark.parametrize("text", ["there is no certificate", "it is no longer valid", "behind a proxy", "is not a CA"])
def test_what_is_right_is_not(text: str) -> None:
    assert not found(text, "a page")
