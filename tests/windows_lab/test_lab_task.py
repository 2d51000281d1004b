"""The packaged task on Windows Node and Windows Python: finding Python, signing, publishing, cancelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.agent.mini import Step
from windows_lab.building import PYTHON
from windows_lab.console import in_console
from windows_lab.machine import LAB_VARIABLES, Windows
from windows_lab.windows_agent import WindowsAgent, build_extension, fill_tool_cache, install_task

FOUND = r"Python 3.11.9 (C:\Python311\python.exe)"


@pytest.fixture(scope="module")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension for the lab's Windows."""
    return build_extension(tmp_path_factory.mktemp("extension"), PYTHON)


@pytest.fixture
def agent(vsix: Path, windows: Windows) -> WindowsAgent:
    """An agent with the task, and with programs to sign among its sources."""
    agent = install_task(vsix, windows)
    for name in ("app.exe", "bin/Grüße.dll"):
        target = agent.sources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        windows.program().rename(target)
    return agent


def test_the_task_signs_and_publishes(agent: WindowsAgent) -> None:
    run = agent.run(Step({"files": "**/*.exe\n**/*.dll", "keyStore": "embedded", "store": "store"}))
    assert run.result == "Succeeded", run.log
    assert FOUND in run.log
    assert [issue.code for issue in run.issues] == ["TEST_SIGNING"]
    assert run.variables["filesSigned"].value == "2"
    (results,) = run.test_runs
    assert sorted(case.name for case in results.cases) == ["app.exe", "bin/Grüße.dll"]
    assert {case.outcome for case in results.cases} == {"Passed"}
    (summary,) = run.summaries
    assert "Grüße.dll" in summary.content.decode("utf-8")
    (report,) = (attachment for attachment in run.attachments if attachment.type == "kspsign.report")
    content = json.loads(report.content)
    assert content["agent"]["os"] == "Windows"
    assert content["certificate"]["thumbprint"] == run.variables["thumbprint"].value
    agent.windows.trust(agent.sources / "store" / "embedded" / "root.pem")
    accepted = agent.windows.signtool("verify", "/pa", "/all", "/tw", agent.sources / "app.exe")
    assert accepted.exit_code == 0, accepted.output


def test_python_of_the_tool_cache_comes_before_that_of_the_path(agent: WindowsAgent) -> None:
    python = fill_tool_cache(agent, "3.11.9")
    run = agent.run(Step({"command": "certsync", "keyStore": "embedded", "store": "store"}))
    assert run.result == "Succeeded", run.log
    assert f"Python 3.11.9 ({agent.shown(python)})" in run.log


def test_a_named_python_is_taken(agent: WindowsAgent) -> None:
    inputs = {"command": "certsync", "keyStore": "embedded", "store": "store", "pythonPath": r"C:\Python311\python.exe"}
    run = agent.run(Step(inputs, env={"WINLAB_WINPATH": r"C:\windows"}))
    assert run.result == "Succeeded", run.log
    assert FOUND in run.log


def test_without_python_the_task_names_the_remedy(agent: WindowsAgent) -> None:
    run = agent.run(Step({"files": "app.exe", "keyStore": "embedded"}, env={"WINLAB_WINPATH": r"C:\windows"}))
    assert run.result == "Failed"
    (error,) = run.errors
    assert "UsePythonVersion@0" in error
    assert "Tried: python3: " in error


def test_ctrl_c_reaches_the_engine_behind_node(agent: WindowsAgent, timestamp_url: str) -> None:
    windows = agent.windows
    for name in ("b.exe", "c.exe", "d.exe"):
        windows.program().rename(agent.sources / name)
    agent.temp.mkdir(parents=True)
    synced = windows.kspsign("certsync", "--key-store", "embedded", "--store", agent.sources / "store")
    assert synced.exit_code == 0, synced.output
    windows.fault("tsa", "slow=600000*")
    roots = (windows.trust_root, agent.sources / "store" / "embedded" / "root.pem")
    inputs = {"files": "*.exe", "keyStore": "embedded", "store": "store", "report": "report.json", "jobs": "1"}
    inputs |= {"timestampUrl": timestamp_url, "trustRoot": "\n".join(windows.path(root) for root in roots)}
    _code, shown = in_console(
        windows,
        "wine",
        r"C:\Program Files\nodejs\node.exe",
        windows.path(agent.task.folder / "dist" / "index.js"),
        interrupt_when=lambda: bool(windows.calls("tsa request")),
        env=agent.environment(inputs),
    )
    assert "##vso[task.complete result=Canceled;]The run was cancelled." in shown
    files = json.loads((agent.sources / "report.json").read_text(encoding="utf-8"))["files"]
    assert [file["outcome"] for file in files] == ["failed"] * 4
    assert len(windows.calls("tsa request")) == 1
    assert list(agent.sources.glob(".kspsign-tmp.*")) == []


def test_the_task_signs_by_signtool_with_a_key_behind_a_ksp(agent: WindowsAgent, timestamp_url: str) -> None:
    windows = agent.windows
    inputs = {"files": "**/*.exe\n**/*.dll", "keyStore": "windows", "keypairAlias": "Contoso-Release"}
    inputs |= {"timestampUrl": timestamp_url, "trustRoot": windows.path(windows.trust_root)}
    inputs["toolEnv"] = "\n".join(LAB_VARIABLES)
    secrets = {name: windows.environment[name] for name in ("SM_API_KEY", "SM_CLIENT_CERT_PASSWORD")}
    mapped = {name: value for name, value in windows.environment.items() if name.startswith("SM_")}
    run = agent.run(Step(inputs, secrets={"apiKey": secrets["SM_API_KEY"]}, env=mapped))
    assert run.result == "Succeeded", run.log
    assert run.variables["thumbprint"].value == windows.key("Contoso-Release").thumbprint
    assert run.variables["filesSigned"].value == "2"
    assert len(windows.calls("ksp sign")) == 1, "both files have the same content"
    assert all(secret not in line for secret in secrets.values() for line in run.log)
    accepted = windows.signtool("verify", "/pa", "/all", "/tw", agent.sources / "app.exe")
    assert accepted.exit_code == 0, accepted.output


def test_the_post_job_phase_removes_what_a_killed_run_left(agent: WindowsAgent) -> None:
    for name in ("kspsign-private-Ab3xYz", "kspsign-private-ab_3xyz9", "kspsign"):
        (agent.temp / name).mkdir(parents=True)
        (agent.temp / name / "client.p12").touch(mode=0o444)
    run = agent.run_post(Step())
    assert (run.result, run.issues) == ("Succeeded", ())
    assert [name for name in run.leftover if name.startswith("kspsign")] == ["kspsign"]
