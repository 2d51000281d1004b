"""The GitHub action's steps, run as a runner runs them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from support.agent.processes import Shown, descendants
from support.formats.peimages import build_pe
from support.github import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "one.bin").write_bytes(b"no program")
    return Job(tmp_path / "work")


def test_a_step_runs(job: Job) -> None:
    code, text = job.run(command="verify", files="*.bin")
    assert code == 2, text
    assert "::error file=one.bin,title=" in text
    assert "filesMatched<<" in (job.temp / "output").read_text(encoding="utf-8")
    assert "one.bin" in (job.temp / "summary").read_text(encoding="utf-8")


def test_paths_of_the_runner_are_found_inside_a_container(job: Job) -> None:
    inside = replace(job, host=Path("/home/runner/work/app/app"))
    code, text = inside.run(
        command="verify",
        files="/home/runner/work/app/app/*.bin\n!/home/runner/work/app/app/two.bin",
        report="/home/runner/work/app/_temp/report.json",
    )
    assert code == 2, text
    report = json.loads((job.temp / "report.json").read_text(encoding="utf-8"))
    assert [entry["path"] for entry in report["files"]] == ["one.bin"]


def test_secrets_are_in_no_environment_and_no_command_line_but_the_scripts_own(job: Job, tmp_path: Path) -> None:
    """The engine looks for its PKCS#12 file in a pipe, and so can be looked at while it runs."""
    os.mkfifo(tmp_path / "code.p12")
    secret = {"SM_API_KEY": "planted-1", "AZURE_CLIENT_SECRET": "planted-2", "GITHUB_TOKEN": "planted-3"}
    waiting = replace(job, variables=secret)
    (job.folder / "app.exe").write_bytes(build_pe())
    given = {"key_store": "pkcs12", "files": "app.exe", "pkcs12": str(tmp_path / "code.p12"), "password": "planted-4"}
    with waiting.start(**given) as step:
        engines: list[Shown] = []
        while not engines:
            assert step.poll() is None
            engines = [shown for shown in descendants(step.pid) if b"kspsign" in shown.command]
        with (tmp_path / "code.p12").open("wb") as pipe:
            engines = [shown for shown in descendants(step.pid) if b"kspsign" in shown.command]
            pipe.write(b"no PKCS#12")
        text, _ = step.communicate(timeout=60)
    assert engines
    assert not any(b"planted" in shown.command + shown.environment for shown in engines)
    assert "planted" not in text
    assert step.returncode in {3, 5}, text
