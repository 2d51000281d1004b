"""`kspsign gate`: the downloaded files, waiting for a verdict, and what the command takes from its surroundings."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kspsign.azure_devops import TASK_ID
from kspsign.gate.settings import resolve_gate
from kspsign.model.errors import CancelledError, GateRefusedError, KspSignError, PrerequisiteError
from support.agent.commands import parse
from support.azure_devops.server import TOKEN, AzureServer, Fault
from support.azure_devops.uploads import Upload, step_variables
from support.gate_asking import Waiting, add_job, ask, attach, signed_build
from support.launching import Launcher
from support.samples import kspsign

HANGS = 60.0
"""Seconds that the server takes for an answer: no gate of this file may wait for one."""


class TestFiles:
    @pytest.fixture
    def downloads(self, signed_launcher: bytes, tmp_path: Path) -> Path:
        """The signed file as the release stage downloaded it."""
        folder = tmp_path / "drop" / "bin"
        folder.mkdir(parents=True)
        (folder / "app.exe").write_bytes(signed_launcher)
        return folder

    def test_the_files_that_were_proved(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        said = ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent)
        assert said.code == 0
        assert "ok   files: 1 as they were proved" in said.text

    def test_a_file_that_changed_after_it_was_signed(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        (downloads / "app.exe").write_bytes((downloads / "app.exe").read_bytes()[:-1] + b"!")
        said = ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent)
        assert said.code == 7
        assert "bin/app.exe has changed since it was proved" in said.error

    def test_a_file_that_nobody_proved(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        (downloads / "##vso[task.complete]x.dll").write_bytes(b"MZ")
        said = ask(azure, tmp_path, files=("**/*",), folder=downloads.parent)
        assert said.code == 7
        assert "x.dll was proved by no build" in said.error
        assert "##vso[task.complete]" not in said.text

    def test_another_name_and_another_content(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        """A link has a name of its own, which nobody proved, even where it leads to a proved file."""
        signed_build(azure, proof)
        (downloads / "setup.exe").symlink_to(downloads / "app.exe")
        said = ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent)
        assert said.code == 7
        assert "bin/setup.exe has the content of a file that was proved under another path" in said.error
        (downloads / "setup.exe").unlink()
        (downloads / "app.exe").rename(downloads / "SETUP.EXE")
        assert ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent).code == 7
        (downloads / "SETUP.EXE").rename(downloads / "APP.EXE")
        assert ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent).code == 0

    def test_what_is_left_out_is_named(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        (downloads / "gone.exe").symlink_to(downloads / "nowhere.exe")
        os.mkfifo(downloads / "pipe.exe")
        (downloads / "tool.exe").write_bytes(b"MZ")
        files = ("**/*.exe", "!**/tool.exe")
        said = ask(azure, tmp_path, files=files, folder=downloads.parent)
        assert said.code == 0
        (line,) = (line for line in said.text.splitlines() if "ok   files: " in line)
        assert "bin/gone.exe left out: a link that leads nowhere" in line
        assert "bin/pipe.exe left out: not a regular file" in line
        assert "bin/tool.exe left out: excluded by !**/tool.exe" in line

    def test_one_pattern_of_several_that_matches_nothing_is_warned_of(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        patterns = ("**/*.exe", "installer/*.msi", "!**/*.pdb")
        said = ask(azure, tmp_path, files=patterns, folder=downloads.parent)
        assert said.code == 0
        assert "type=warning;code=PATTERN_UNMATCHED;]kspsign gate: no file matches installer/*.msi" in said.text
        assert "type=warning;code=EXCLUSION_UNMATCHED;]kspsign gate: nothing is excluded by !**/*.pdb" in said.text
        assert "type=warning" not in ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent).text

    def test_no_file_at_all(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        signed_build(azure, proof)
        assert ask(azure, tmp_path, files=("*.exe",), folder=tmp_path).code == 4


class TestWaiting:
    def test_a_verdict_that_comes_meanwhile(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = azure.organisation.add_build()
        step = build.add_step(add_job(build), TASK_ID, result=None)

        def end() -> None:
            step.update(state="completed", result="succeeded")

        waiting = Waiting(meanwhile=[lambda: attach(build, step, proof), end])
        said = ask(azure, tmp_path, waiting, wait=5)
        assert said.code == 0
        assert waiting.pauses == [15.0, 15.0]
        assert said.text.count("waiting: no final verdict yet of build 4711") == 2

    def test_the_time_ends(self, azure: AzureServer, tmp_path: Path) -> None:
        azure.organisation.add_build()
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=1).code == 7
        assert waiting.now == 60

    def test_a_build_that_is_over_is_not_waited_for(self, azure: AzureServer, tmp_path: Path) -> None:
        build = azure.organisation.add_build()
        build.status, build.result = "completed", "succeeded"
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=5).code == 7
        assert waiting.pauses == []

    def test_a_failed_step_is_not_waited_for(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        signed_build(azure, proof, "failed")
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=5).code == 7
        assert waiting.pauses == []

    def test_an_outage_meanwhile(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        signed_build(azure, proof)
        azure.faults.extend(Fault("status", 503, path="/timeline") for _ in range(4))
        said = ask(azure, tmp_path, Waiting(), wait=5)
        assert said.code == 0
        assert "waiting: Azure DevOps: HTTP 503" in said.text

    def test_a_cancelled_job(self, azure: AzureServer, tmp_path: Path) -> None:
        azure.organisation.add_build()
        assert ask(azure, tmp_path, Waiting(cancel=True), wait=5).code == CancelledError.exit_code


def test_the_command_takes_everything_from_the_pipelines_variables(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (step_variables(azure.url, tmp_path) | {"SYSTEM_ACCESSTOKEN": TOKEN}).items():
        monkeypatch.setenv(name, value)
    before = os.environ.get("AZURE_DEVOPS_CACHE_DIR")
    signed_build(azure, proof)
    passed = kspsign("gate", folder=tmp_path)
    assert (passed.code, passed.report["passed"]) == (0, True)
    signed_build(azure, proof, "failed")
    refused = kspsign("gate", folder=tmp_path)
    assert (refused.code, refused.report["passed"]) == (GateRefusedError.exit_code, False)
    assert "kspsign: the gate refuses the release: build 4711 (step: " in refused.text
    assert os.environ.get("AZURE_DEVOPS_CACHE_DIR") == before
    monkeypatch.setenv("SYSTEM_ACCESSTOKEN", "of-another-organisation")
    assert kspsign("gate", folder=tmp_path).code == PrerequisiteError.exit_code


def test_a_server_that_hangs_does_not_hold_up_a_cancelled_job(
    azure: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (step_variables(azure.url, tmp_path) | {"SYSTEM_ACCESSTOKEN": TOKEN}).items():
        monkeypatch.setenv(name, value)
    azure.organisation.add_build()
    azure.faults.append(Fault("slow", seconds=HANGS, path="/builds"))
    with Launcher() as launcher:
        gate = launcher.run(["gate"], 3.0, number=signal.SIGTERM)
    assert gate.told is not None
    assert gate.over - gate.told < HANGS / 10
    assert gate.code == CancelledError.exit_code


def test_nothing_that_a_build_says_is_a_command_to_the_agent(
    azure: AzureServer,
    proof: tuple[Upload, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (step_variables(azure.url, tmp_path) | {"SYSTEM_ACCESSTOKEN": TOKEN}).items():
        monkeypatch.setenv(name, value)
    command = "x\n##vso[task.complete result=Succeeded;]"
    build = signed_build(azure, proof, buildId=command, jobId=command, schema=command, result=command, attempt=command)
    build.records[-1]["name"] = command
    refused = kspsign("gate", folder=tmp_path)
    commands = [parsed.name for line in refused.text.splitlines() if (parsed := parse(line))]
    assert (refused.code, commands) == (7, ["task.logissue"])


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "SYSTEM_ACCESSTOKEN"),
        ({"token_env": "MY_TOKEN"}, "--collection: is missing; --project: is missing; --build-id: is missing"),
        ({"token_env": "MY_TOKEN", "collection": "x", "project": "y", "build_id": (0,)}, "--build-id: "),
        ({"token_env": "MY_TOKEN", "collection": "x", "project": "y", "build_id": ("a",)}, "--build-id: "),
    ],
    ids=str,
)
def test_what_is_missing_is_named(options: dict[str, Any], missing: str) -> None:
    with pytest.raises(KspSignError) as refused:
        resolve_gate(options, {"MY_TOKEN": TOKEN})
    assert refused.value.exit_code == 3
    assert missing in refused.value.message
    assert TOKEN not in refused.value.message
