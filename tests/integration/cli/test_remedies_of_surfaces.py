"""One remedy on every surface: each names the setting as the person writes it who reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
