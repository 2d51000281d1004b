"""smctl's flags as Go's pflag reads them."""

from __future__ import annotations

import pytest

from kspsign.cli.smctl.grammar import Flag, parse
from kspsign.cli.smctl.verbs import VERBS, find_verb
from kspsign.model.errors import ConfigurationError
from kspsign.model.load import load

FLAGS = (
    Flag("input", "", "i"),
    Flag("verbose", "", "v", switch=True),
    Flag("quiet", "", "q", switch=True),
    Flag("format", "", "f", values=("pem", "der")),
)


@pytest.mark.parametrize(
    "arguments", [["--input", "a b"], ["--input=a b"], ["-i", "a b"], ["-ia b"], ["-i=a b"], ["-vqi", "a b"]]
)
def test_every_form_of_a_value(arguments: list[str]) -> None:
    """A value follows its flag or is joined to it."""
    assert parse(FLAGS, arguments).text("input") == "a b"


def test_switches_and_further_arguments() -> None:
    """A switch takes a value only when it is joined; -- ends the flags."""
    given = parse(FLAGS, ["--verbose", "x", "--quiet=false", "--", "--input"])
    assert (given.is_on("verbose"), given.is_on("quiet"), given.arguments) == (True, False, ("x", "--input"))
    assert parse(FLAGS, []).is_on("verbose", default=True)
    assert parse(FLAGS, ["-v=0"]).is_on("verbose", default=True) is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--inptu", "hunter2"], "unknown flag: --inptu"),
        (["--pass=hunter2"], "unknown flag: --pass"),
        (["-xhunter2"], "unknown shorthand flag: 'x'"),
        (["--input"], "flag needs an argument: --input"),
        (["--verbose=hunter2"], "neither true nor false"),
        (["--format", "hunter2"], "one of pem, der"),
    ],
)
def test_refused_without_repeating_a_value(arguments: list[str], said: str) -> None:
    """A value may be a secret."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        parse(FLAGS, arguments)
    assert "hunter2" not in f"{refused.value} {refused.value.remedy}"


@pytest.mark.parametrize("words", [*VERBS])
def test_each_command_is_found_and_can_be_loaded(words: tuple[str, ...]) -> None:
    """By its own words; the function is there."""
    found, verb, rest = find_verb([*words, "--help"])
    assert (found, rest) == (words, ["--help"])
    assert callable(load(verb.runner))
    assert len({flag.letter for flag in verb.flags if flag.letter}) == sum(bool(flag.letter) for flag in verb.flags)


def test_synonyms() -> None:
    """smctl's short names."""
    assert find_verb(["kp", "list"])[0] == ("keypair", "ls")
    assert find_verb(["cert", "save", "x"])[::2] == (("certificate", "download"), ["x"])
    assert find_verb(["windows", "ksp", "list"])[0] == ("windows", "ksp", "list")
