"""Arguments that there are not, secrets among them, and switches against a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.cli.main import build_parser, main, parse
from kspsign.model.errors import ConfigurationError

SECRET = "hunter2-correct-horse"  # noqa: S105 - made up


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign", "--password", SECRET, "x.exe"],
        ["sign", f"--password={SECRET}", "x.exe"],
        ["--password", SECRET, "sign", "x.exe"],
        [f"--password={SECRET}", "sign", "x.exe"],
        ["sign", "--key-store", "pkcs12", "--pkcs12", "a.pfx", "--pass", SECRET, "x.exe"],
        ["sign", "--passw", SECRET, "x.exe"],
        ["sign", "-pass", SECRET, "x.exe"],
        ["sign", f"-p{SECRET}", "x.exe"],
        ["sign", "/p", SECRET, "x.exe"],
        ["sign", "--pkcs11-pin", SECRET, "x.exe"],
        ["sign", "--pkcs11-pi", SECRET, "x.exe"],
        ["certsync", "--pin", SECRET],
        ["verify", "--token", SECRET],
        ["gate", "--token", SECRET],
        ["gate", "--tok", SECRET],
        ["run", "--client-secret", SECRET],
        ["run", "--api-key", SECRET],
        ["inspect", "--password", SECRET, "x.exe"],
        ["doctor", "--publish-token", SECRET],
    ],
)
def test_a_secret_argument_is_refused_and_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 3
    shown = "".join(capsys.readouterr())
    assert "takes no secret as an argument" in shown
    assert "--password-env NAME" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign", "--jbos", SECRET],
        ["sign", f"--jbos={SECRET}"],
        ["sign", f"-x{SECRET}"],
        ["-x", SECRET, "sign"],
        [SECRET, "sign"],
        ["schema", "config", SECRET],
        ["sign", "--p", SECRET, "x.exe"],
        ["sign", "--pkcs12", "a.pfx", "--key-store", "pkcs12", "--password-env", SECRET, "x.exe"],
        ["gate", "--token-env", SECRET, "--build-id", "1", "--project", "p", "--collection", "https://a.example"],
    ],
)
def test_no_refused_argument_is_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sign", "--thumprint", "x"], "Did you mean --thumbprint?"),
        (["vrify", "x.exe"], "Did you mean verify?"),
        (["sign", "--time", "x"], "there is no option --time"),
        (["sign", "--pkcs11-tokn", "x"], "Did you mean --pkcs11-token?"),
    ],
)
def test_the_nearest_name_is_offered(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("command", "said"), [("run", True), ("remove", False)])
def test_patterns_of_inside_in_a_second_place_are_explained(
    command: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "drop", "--quiet", "**/*.dll"]) == 3
    error = capsys.readouterr().err
    assert "takes no further argument (1 too many)" in error
    assert ("A pattern of --inside follows a =" in error) is said


@pytest.mark.parametrize("option", ["--jo", "--timestamp-u", "--password-e", "--trust"])
def test_no_option_is_abbreviated(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no option {option}"):
        parse(["sign", option, "1", "x.exe"])


def test_labels_and_names_of_variables_are_no_secrets() -> None:
    arguments = ["sign", "--key-store", "pkcs11", "--pkcs11-token", "Release", "--pkcs11-pin-env", "PIN", "x.exe"]
    given = vars(parse(arguments))
    assert (given["pkcs11_token"], given["pkcs11_pin_env"]) == ("Release", "PIN")


def test_every_switch_has_an_opposite() -> None:
    given = vars(parse(["sign", "--no-append", "--replace", "--timestamp", "--no-fail-fast", "x.exe"]))
    assert (given["append"], given["replace"], given["no_timestamp"], given["fail_fast"]) == (False, True, False, False)
    given = vars(parse(["sign", "--append", "--no-append", "--no-timestamp", "x.exe"]))
    assert (given["append"], given["no_timestamp"]) == (False, True)


def test_opposites_are_not_listed() -> None:
    (commands,) = [action for action in build_parser()._actions if action.dest == "command"]  # noqa: SLF001
    assert isinstance(commands.choices, dict)
    text = commands.choices["sign"].format_help()
    assert "--append" in text
    assert "--no-append" not in text
