"""Globs match as minimatch does, which Azure Pipelines' tasks use: the peer is the one of the task's library."""

from __future__ import annotations

import json
import subprocess

import pytest

from kspsign.model.globs import MAX_ALTERNATIVES, expand_braces, has_wildcards, may_end_in, name_regex
from support.places import ROOT

NAMES = (
    *("a", "b", "ab", "aab", "abc", "a.dll", "b.dll", "ab.dll", "a.exe", "A.DLL", ".a", "a.", "a.b.dll", "a-b", "a]b"),
    *("a[1]", "[a]", "a(1)", "(a|b)", "+(a)", "a{b", "{a,b}", "a}b", "!a", "a!", "#a", "a b", "x86", "x64", "1", "10"),
    *("a.Resources.dll", "a.test.dll", "^a", "a^", "a\nb", "-"),
)
PATTERNS = (
    *("*", "?", "??", "*.dll", "a*", "*a*", "[ab]", "[!ab]", "[^ab]", "[a-c].dll", "[a-c]*", "*[.]dll", "[]]"),
    *("?(a)b", "*(a)b", "+(a)b", "@(a|b)", "@(a|b).dll", "!(a)", "!(a|b)", "!(a|b).dll", "a!(b)", "a!(b)*", "*.!(dll)"),
    *(
        "+(a|b)",
        "+(a|b).+(dll|exe)",
        "@(+(a)b|x86)",
        "!(*.dll)",
        "!(*.test).dll",
        "!(*.Resources|*.test).dll",
        "x@(64|86)",
    ),
    *("*(x|8)6", "@(a", "a(1)", "a[[]1]", "[[]a]", "(a|b)", "a.*", "*.*", "a?b", "[0-9]", "[0-9]*", "+([0-9])", "*!"),
    *("{a,b}.dll", "{a,b,ab}", "{a,{b,ab}}.dll", "x{64,86}", "{1..10}", "{a..c}", "{a}", "a{b", "*.{dll,exe}", "{a,}b"),
)


@pytest.fixture(scope="module")
def peer() -> dict[str, list[str]]:
    """What minimatch matches, by pattern, with the options of the tasks; braces are on, as its own default is."""
    options = {"dot": True, "nocomment": True, "nonegate": True}
    script = (
        "const {minimatch, Minimatch} = require('minimatch'); const match = minimatch ?? require('minimatch');"
        "const [names, patterns, options] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "const found = patterns.map(p => [p, names.filter(n => match(n, p, options))]);"
        "process.stdout.write(JSON.stringify(Object.fromEntries(found)));"
    )
    done = subprocess.run(
        ["node", "-e", script],
        input=json.dumps([NAMES, PATTERNS, options]),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "task" / "shim",
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # as the script writes it


@pytest.mark.parametrize("pattern", PATTERNS)
def test_names_match_as_in_minimatch(peer: dict[str, list[str]], pattern: str) -> None:
    ours = [name for name in NAMES if any(name_regex(part).match(name) for part in expand_braces(pattern))]
    assert ours == peer[pattern]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a{b,c/d}/e", ["ab/e", "ac/d/e"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("{3..1}", ["3", "2", "1"]),
        ("[{]a,b}", ["[{]a,b}"]),
        ("{a,[,]}", ["a", "[,]"]),
        ("{1234-abcd}", ["{1234-abcd}"]),
        ("a{b{c,d}", ["a{bc", "a{bd"]),
        ("plain", ["plain"]),
    ],
)
def test_braces(pattern: str, expected: list[str]) -> None:
    assert [*expand_braces(pattern)] == expected


def test_braces_that_never_end() -> None:
    with pytest.raises(ValueError, match=str(MAX_ALTERNATIVES)):
        expand_braces("{a,b}" * 60)
    with pytest.raises(ValueError, match=str(MAX_ALTERNATIVES)):
        expand_braces("{1..999999}")


@pytest.mark.parametrize(
    ("part", "magic"), [("a*", True), ("+(a)", True), ("a(1)", False), ("a{b,c}", False), ("[", True)]
)
def test_what_has_wildcards(part: str, magic: bool) -> None:
    assert has_wildcards(part) == magic


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("**/*.js", True),
        ("web/site.JS", True),
        ("**/*.@(js|ts)", True),
        ("**/*.+(js)", True),
        ("**/*.{js,ts}", True),
        ("**", False),
        ("web/site.*", False),
        ("**/*.!(js)", False),
        ("**/*.jsx", False),
    ],
)
def test_which_pattern_says_a_suffix(pattern: str, says: bool) -> None:
    assert may_end_in(pattern, ".js") == says
