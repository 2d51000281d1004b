"""The packaged task with a token handed over: it publishes to the server, and the packaged gate believes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.azure_devops import TASK_ID
from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.taskrun import TaskRun
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.state import PROJECT, Build
from support.azure_devops.uploads import JOB_ID
from support.samples import copy_launcher


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    """The server with build 4711."""
    with AzureServer() as server:
        server.organisation.add_build()
        yield server


@pytest.fixture
def agent(tmp_path: Path) -> MiniAgent:
    """The installed task with one Windows program in the sources."""
    agent = agent_for(shared_vsix(), tmp_path)
    agent.sources.mkdir(parents=True)
    copy_launcher(agent.sources, to="app.exe")
    return agent


def sign(agent: MiniAgent, azure: AzureServer, token: str = TOKEN) -> TaskRun:
    """Run the task as a step that maps the job's token."""
    inputs = {
        "files": "*.exe",
        "keyStore": "embedded",
        "store": str(agent.root / "store"),
        "pythonPath": sys.executable,
    }
    variables = {"System.CollectionUri": f"{azure.url}/", "System.TeamProject": PROJECT}
    secrets = {"System.AccessToken": token}
    return agent.run(Step(inputs, variables, secrets, env={"SYSTEM_ACCESSTOKEN": token}))


def upload(build: Build, run: TaskRun) -> None:
    """What the agent and the server make of the step: its record, and the attachments that it uploaded."""
    job = build.add_job()
    job["id"] = JOB_ID
    record = build.add_step(job, TASK_ID, result=run.result[0].lower() + run.result[1:])
    for attachment in run.attachments:
        build.attach(record, attachment.type, attachment.name, attachment.content)


def gate(agent: MiniAgent, azure: AzureServer, *more: str) -> subprocess.CompletedProcess[str]:
    """Ask the packaged engine's gate, with nothing around it."""
    command = [sys.executable, "-I", "-B", str(agent.task.folder / "engine"), "gate", "--collection", azure.url]
    command += ["--project", PROJECT, "--build-id", "4711", *more]
    environment = {"SYSTEM_ACCESSTOKEN": TOKEN, "HOME": str(agent.root), "TMPDIR": str(agent.root)}
    return subprocess.run(
        command, env=environment, cwd=agent.sources, capture_output=True, text=True, encoding="utf-8", check=False
    )


def test_signed_published_and_let_through(agent: MiniAgent, azure: AzureServer) -> None:
    run = sign(agent, azure)
    assert (run.result, run.errors) == ("Succeeded", ())
    assert run.test_runs == ()
    (published,) = azure.organisation.runs.values()
    assert [(case["testCaseTitle"], case["outcome"]) for case in published.results] == [("app.exe", "Passed")]
    assert published.attached()["kspsign-report.json"]["test_signing"] is True
    assert [name for name in run.leftover if name.startswith("kspsign-")] == []

    upload(azure.organisation.builds[4711], run)
    assert gate(agent, azure).returncode == 7
    passed = gate(agent, azure, "--allow-test-signing", "--files", "*.exe", "--report", "gate.json")
    assert (passed.returncode, passed.stderr) == (0, "")
    assert json.loads((agent.sources / "gate.json").read_text(encoding="utf-8"))["passed"] is True
    assert not (agent.root / ".azure-devops").exists()


def test_the_token_is_shown_nowhere(agent: MiniAgent, azure: AzureServer) -> None:
    run = sign(agent, azure)
    assert {request.authorization for request in azure.seen} == {f"Bearer {TOKEN}"}
    assert TOKEN not in "\n".join(run.raw)
    assert not any(TOKEN.encode() in attachment.content for attachment in (*run.attachments, *run.summaries))


def test_evidence_that_could_not_be_left_fails_the_step(agent: MiniAgent, azure: AzureServer) -> None:
    run = sign(agent, azure, token="expired")  # noqa: S106 - opens nothing
    assert run.result == "Failed"
    assert any("the results could not be published" in error for error in run.errors)
    assert len(run.test_runs) == 1
    verdict = next(attachment for attachment in run.attachments if attachment.type == "kspsign.verdict")
    assert json.loads(verdict.content)["result"] == "failed"
    upload(azure.organisation.builds[4711], run)
    assert gate(agent, azure, "--allow-test-signing").returncode == 7
