"""The data file as a whole: complete, without contradictions, covering every code of ours, and the page made of it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

import kspsign
from kspsign.diagnosis import diagnose, similar_failures, troubleshooting_text
from kspsign.diagnosis.catalogue import Failure, catalogue
from kspsign.model.hresults import Hresult
from support.places import ROOT
from support.sources import nodes_of

SOURCE = Path(kspsign.__file__).parent
PAGE = ROOT / "docs" / "troubleshooting.md"


@pytest.mark.parametrize("failure", catalogue().failures, ids=lambda failure: failure.id)
def test_failure_is_complete(failure: Failure) -> None:
    assert failure.known_cause.endswith(".")
    assert failure.known_remedy.endswith(".")
    assert not failure.title.endswith(".")
    for text in (failure.title, failure.known_cause, failure.known_remedy):
        assert text.isprintable()
        assert "{" not in text or failure.range
    assert set(failure.replaces) <= catalogue().position.keys() - {failure.id}


def test_nothing_is_matched_twice() -> None:
    matchers: Counter[object] = Counter()
    for failure in catalogue().failures:
        matchers.update([("id", failure.id), ("title", failure.title), ("cause", failure.known_cause)])
        matchers.update(("name", name) for name in (*failure.all_numbers, *failure.codes))
        matchers.update(("exit", program, code) for program, codes in failure.exits.items() for code in codes)
        matchers.update(("filter", name) for name in failure.filters)
        matchers.update((pattern, failure.also, failure.unless) for pattern in failure.patterns)
        matchers.update(("number", number) for number in set(failure.all_numbers.values()))
        matchers.update([("range", failure.range)] if failure.range else [])
    assert {matcher: times for matcher, times in matchers.items() if times > 1} == {}


def test_every_pattern_is_a_regular_expression() -> None:
    """A run compiles the patterns that it needs alone."""
    for failure in catalogue().failures:
        for pattern in (*failure.patterns, *failure.also, *failure.unless):
            assert re.compile(pattern).pattern == pattern, failure.id


def test_every_requirement_about_failures_is_met() -> None:
    named = {requirement for failure in catalogue().failures for requirement in failure.requirements}
    assert named == {f"R{number}" for number in range(17, 27)}


def _codes(nodes: Sequence[ast.AST], positions: dict[str, int]) -> Iterator[str]:
    """The string literals that become a `code`: by keyword, by position, or as a parameter's default."""
    for node in nodes:
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            position = positions.get(name)
            if position is not None and position < len(node.args):
                values.append(node.args[position])
        elif isinstance(node, ast.FunctionDef):
            defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            values += [default for argument, default in defaults if argument.arg == "code" and default is not None]
        for value in values:
            branches = (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)
            yield from (b.value for b in branches if isinstance(b, ast.Constant) and isinstance(b.value, str))


def _positions(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, int]]:
    """Where functions and dataclasses take a `code` by position."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
        elif isinstance(node, ast.ClassDef):
            names = [f.target.id for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
        else:
            continue
        if "code" in names:
            yield node.name, names.index("code")


def test_every_code_that_kspsign_raises_can_be_explained() -> None:
    sources = [nodes_of(path) for path in sorted(SOURCE.rglob("*.py"))]
    public = {name: at for nodes in sources for name, at in _positions(nodes) if not name.startswith("_")}
    codes = {code for nodes in sources for code in _codes(nodes, public | dict(_positions(nodes)))}
    assert {"KEY_MISMATCH", "WRONG_PASSWORD", "NOT_VERIFIED", "RESULTS_NOT_PUBLISHED", "CONFIGURATION"} <= codes
    assert {code for code in codes if not diagnose("", code=code)} == set()
    assert {member.name for member in Hresult if not diagnose("", code=member.name)} == set()


@pytest.mark.parametrize("bad", ["a.*b", "a+", "(a{2,})", "(?:ab*){1,3}", "Upper"])
def test_pattern_that_might_take_forever_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        Failure(id="x", group="key", title="t", patterns=(bad,), cause="c", remedy="r", audience=("developer",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cause": "c", "remedy": "r"},
        {"windows": "CERT_E_EXPIRED", "cause": "c", "remedy": "r"},
        {"codes": ("A_CODE",)},
        {"codes": ("A_CODE",), "cause": "c"},
        {"windows": "CERT_E_EXPIRED", "id": "Not An Id"},
    ],
)
def test_failure_without_matcher_or_with_two_explanations_is_refused(wrong: dict[str, object]) -> None:
    entry: dict[str, object] = {"id": "x", "group": "key", "title": "t", "audience": ("developer",)}
    with pytest.raises(ValidationError):
        Failure.model_validate(entry | wrong)


def test_page_is_that_of_the_data() -> None:
    """Written by tools/write_troubleshooting.py."""
    assert PAGE.read_text(encoding="utf-8") == troubleshooting_text()


EXAMPLES = [(failure.id, example) for failure in catalogue().failures for example in failure.examples]


@pytest.mark.parametrize(("failure", "example"), EXAMPLES)
def test_line_as_a_program_prints_it_leads_to_its_failure_first(failure: str, example: str) -> None:
    for text in (example, f"2026-11-29T10:15:30.1234567Z ##[error]{example}", f"{example}\nDone.\n"):
        assert diagnose(text)[0].id == failure
    assert example in PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("message", "number"), catalogue().messages)
def test_text_that_windows_has_for_a_code_is_explained_like_the_code(message: str, number: int) -> None:
    failure = catalogue().of_number(number)
    assert failure is not None
    (first, *_) = diagnose(f"{message.capitalize()}.")
    assert first.id == failure.id


def test_code_says_more_than_the_sentence_around_it() -> None:
    assert diagnose("Signing failed with error 8009310B.")[0].id == "timestamp-answer-malformed"
    assert diagnose("Signing failed with error 80070057 for 2 files")[0].id == "parameter-wrong"
    assert diagnose("commit 8a1b2c3d of 80090016x") == ()
    assert diagnose("Access denied. 0x80090016")[0].id == "private-key-unavailable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TRUST_E_NOSIGNATUR", "TRUST_E_NOSIGNATURE"),
        ("ALREDY_SIGNED", "ALREADY_SIGNED"),
        ("0x800B01O9", "0x800B0109"),
        ("0x80096O05", "0x80096005"),
        ("untrusted-rot", "untrusted-root"),
        ("Error: no private key available", "SignTool Error: No private key is available."),
    ],
)
def test_near_miss_is_told_what_it_may_have_meant(text: str, expected: str) -> None:
    assert similar_failures(text)[0] == expected


@pytest.mark.parametrize("text", ["", "hello", "completely different words of nobody here", "x " * 500])
def test_nothing_is_suggested_for_something_else(text: str) -> None:
    assert similar_failures(text) == ()


def test_page_names_each_failure_and_leaves_no_placeholder() -> None:
    page = troubleshooting_text()
    assert page.count("\n### ") == len(catalogue().failures)
    assert not [word for word in ("{hex}", "{low}", "{status}", "{phrase}", "  \n") if word in page]
