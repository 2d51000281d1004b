"""One remedy on every surface: each names the setting as the person writes it who reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from integration.cli.test_cli_commands import start
from support.certificates import signing_file
from support.github import document


@pytest.fixture
def untrusted(signed_image: bytes, tmp_path: Path) -> Path:
    """A signed file whose root is not named."""
    (tmp_path / "a.exe").write_bytes(signed_image)
    return tmp_path


def report(folder: Path) -> str:
    return str(json.loads((folder / "report.json").read_text(encoding="utf-8"))["files"][0]["error"]["remedy"])


def test_the_command_line(untrusted: Path) -> None:
    done = start(
        "verify", "a.exe", "--report", "report.json", "--junit", "j.xml", "--summary", "s.md", folder=untrusted
    )
    assert done.returncode == 2
    texts = [done.stdout, report(untrusted), *((untrusted / name).read_text("utf-8") for name in ("j.xml", "s.md"))]
    assert all("--trust-root" in text for text in texts)


def test_the_task(untrusted: Path) -> None:
    inputs = {"files": ["a.exe"], "report": "report.json", "junit": "j.xml", "summary": "s.md"}
    variables = {"AGENT_TEMPDIRECTORY": str(untrusted)}
    document = {"version": 1, "command": "verify", "inputs": inputs, "secrets": {}, "variables": variables}
    done = start("task", folder=untrusted, text=json.dumps(document))
    assert done.returncode == 2, done.stdout + done.stderr
    (issue,) = (line for line in done.stdout.splitlines() if line.startswith("##vso[task.logissue type=error"))
    texts = [issue, report(untrusted), *((untrusted / name).read_text("utf-8") for name in ("j.xml", "s.md"))]
    assert all("trustRoot:" in text and "--trust-root" not in text for text in texts)


def test_the_action(untrusted: Path) -> None:
    inputs = {"command": "verify", "files": "a.exe", "report": "report.json"}
    done = start(
        "action",
        folder=untrusted,
        text=document(inputs).decode(),
        environment={"GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(untrusted)},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "trust-root:" in report(untrusted)
    assert "--trust-root" not in done.stdout


def test_a_setting_of_a_file(untrusted: Path, store_root_of_another: Path) -> None:
    (untrusted / "sign.yml").write_text(f"trust_root: [{store_root_of_another.as_posix()}]\n", encoding="utf-8")
    done = start("verify", "a.exe", "--config", "sign.yml", "--report", "report.json", folder=untrusted)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "`trust_root:` in sign.yml" in report(untrusted)


@pytest.fixture
def store_root_of_another(tmp_path: Path) -> Path:
    return signing_file(tmp_path).root


def test_arguments_that_are_refused(tmp_path: Path) -> None:
    document = {"version": 1, "command": "sign", "inputs": {"files": ["x.exe"]}, "secrets": {}, "variables": {}}
    (tmp_path / "x.exe").write_bytes(b"MZ")
    done = start("task", folder=tmp_path, text=json.dumps(document))
    assert "keyStore:" in done.stdout + done.stderr
    assert "--key-store" not in done.stdout + done.stderr


UNFIT = {"jobs": "many", "timestamp_url": ["foo"], "key_store": "pkcs12"}
"""A number that is not one, a URL without scheme, and the file that is missing."""
EXCLUSIVE = {"append": True, "replace": True, "key_store": "pkcs12", "pkcs12": "x.p12"}


def said_on(surface: str, settings: Mapping[str, object], folder: Path) -> str:
    """What a run with these settings says."""
    (folder / "x.exe").write_bytes(b"MZ")
    if surface == "task":
        inputs = {"files": ["x.exe"], **{to_camel(name): value for name, value in settings.items()}}
        given = {"version": 1, "command": "sign", "inputs": inputs, "secrets": {}, "variables": {}}
        done = start("task", folder=folder, text=json.dumps(given))
    elif surface == "action":
        texts = {name: "\n".join(value) if isinstance(value, list) else str(value) for name, value in settings.items()}
        action = {"command": "sign", "files": "x.exe", **{name.replace("_", "-"): text for name, text in texts.items()}}
        environment = {"GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(folder)}
        done = start("action", folder=folder, text=document(action).decode(), environment=environment)
    else:
        lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
        (folder / "sign.yml").write_text("\n".join(lines), encoding="utf-8")
        done = start("sign", "x.exe", "--config", "sign.yml", folder=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    return (done.stdout + done.stderr).splitlines()[0]


@pytest.mark.parametrize(
    ("surface", "unfit", "exclusive"),
    [
        ("task", "`jobs`: must be a whole number", "`append: true`, `replace: true` and `skipSigned: true` exclude"),
        ("action", "`timestamp-url`: the URL of", "`append: true`, `replace: true` and `skip-signed: true` exclude"),
        ("file", "jobs (sign.yml, line 1): must", "append (sign.yml, line 1), replace (sign.yml, line 2) and"),
    ],
)
def test_faults_of_settings(surface: str, unfit: str, exclusive: str, tmp_path: Path) -> None:
    said = said_on(surface, UNFIT, tmp_path)
    assert unfit in said
    assert "pkcs12" in said
    assert surface == "file" or ("--" not in said and "_" not in said)
    assert exclusive in said_on(surface, EXCLUSIVE, tmp_path)


def test_faults_of_options(tmp_path: Path) -> None:
    done = start("sign", "x.exe", "--key-store", "pkcs12", "--jobs", "0", "--timestamp-url", "foo", folder=tmp_path)
    assert (done.returncode, "`" in done.stderr.splitlines()[0]) == (3, False)
    assert all(f"{name}: " in done.stderr for name in ("--jobs", "--timestamp-url"))
    done = start("sign", "x.exe", "--key-store", "pkcs12", "--pkcs12", "x", "--append", "--replace", folder=tmp_path)
    assert "--append, --replace and --skip-signed exclude each other" in done.stderr


def test_a_macro_is_named_by_its_input_in_the_action(tmp_path: Path) -> None:
    given = {"command": "sign", "files": "x.exe", "key-store": "pkcs12", "trust-root": "$(root)"}
    environment = {"GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(tmp_path)}
    done = start("action", folder=tmp_path, text=document(given).decode(), environment=environment)
    assert "`trust-root:` holds the text $(root)" in done.stdout
