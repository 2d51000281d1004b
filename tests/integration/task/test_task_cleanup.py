"""The task's post-job phase: what a killed run left is removed, what was published stays; and the doctor as a step."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.programs.client_certificate_file import PREFIX
from support.agent.extension import shared_vsix, use_standin
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.taskrun import TaskRun
from support.samples import launchers

CLIENT_CERTIFICATE = b"a client certificate, as PKCS#12"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """An agent with the packaged task as it is."""
    return agent_for(shared_vsix(), tmp_path_factory.mktemp("agent"))


@pytest.fixture
def agent(installed: MiniAgent, tmp_path: Path) -> MiniAgent:
    """The installed task, with work folders of this test alone and programs that all differ."""
    agent = replace(installed, root=tmp_path)
    agent.sources.mkdir(parents=True)
    for number in range(400):
        (agent.sources / f"app{number:02}.exe").write_bytes(launchers()[0].read_bytes() + number.to_bytes(8))
    return agent


def line_number(count: int, start: str) -> Callable[[str], bool]:
    """True from the moment that `count` lines have begun with `start`."""
    seen: list[str] = []

    def arrived(line: str) -> bool:
        seen.extend([line] if line.startswith(start) else [])
        return len(seen) >= count

    return arrived


def kept(run: TaskRun) -> list[str]:
    """What is in the temporary folder, but for the file that task-lib keeps there in every task."""
    return [name for name in run.leftover if name != ".taskkey"]


def secrets_below(folder: Path) -> list[Path]:
    """Files that hold the client certificate."""
    return [path for path in folder.rglob("*") if path.is_file() and CLIENT_CERTIFICATE in path.read_bytes()]


def test_after_a_kill_only_what_was_published_is_left(agent: MiniAgent) -> None:
    inputs = {"keyStore": "embedded", "store": str(agent.root / "store"), "pythonPath": sys.executable, "jobs": "1"}
    env = {"SM_CLIENT_CERT_FILE_B64": base64.b64encode(CLIENT_CERTIFICATE).decode()}
    steps = [Step({**inputs, "files": files}, env=env) for files in ("app00.exe", "*.exe")]
    signed_three = line_number(3, "signed ")

    def while_a_program_signs(line: str) -> bool:
        """The moment of the kill; a program that reads the certificate from its file is at work then."""
        if not signed_three(line):
            return False
        private = agent.temp / f"{PREFIX}program"
        private.mkdir(exist_ok=True)  # asked again for lines that come after the kill
        (private / "client.p12").write_bytes(CLIENT_CERTIFICATE)
        return True

    job = agent.run_job(steps, kill_when=while_a_program_signs)
    assert [run.result for run in job.main] == ["Succeeded", "Failed"]
    assert job.main[1].exit_code < 0
    left = [name for name in job.main[1].leftover if name.startswith(PREFIX)]
    assert len(left) == 2, "the shim's folder and the program's"
    assert [(run.result, run.issues) for run in job.post] == [("Succeeded", ())] * 2
    assert kept(job.post[1]) == ["kspsign"]
    assert Path(job.main[0].outputs["reportPath"]).is_file()
    assert secrets_below(agent.temp) == []


def test_post_job_phases_run_after_a_cancel_too_and_touch_nothing_else(agent: MiniAgent) -> None:
    use_standin(own := agent_for(shared_vsix(), agent.root / "own"))
    wait = Step({"files": "wait", "pythonPath": sys.executable})
    job = own.run_job([wait, wait], cancel_when=lambda line: line == "READY")
    assert [run.result for run in job.main] == ["Canceled"]
    assert [run.result for run in job.post] == ["Succeeded"] * 2
    (own.temp / "kspsign-notes").mkdir()
    (own.temp / "else").mkdir()
    assert kept(own.run_post(wait)) == ["else", "kspsign-notes"]


def test_the_doctor_is_a_step(agent: MiniAgent) -> None:
    inputs = {"command": "doctor", "keyStore": "embedded", "noTimestamp": "true", "pythonPath": sys.executable}
    run = agent.run(Step({**inputs, "files": "*.exe", "store": str(agent.root / "store")}))
    assert run.result == "Succeeded", run.log
    assert any("files: 400 match" in line for line in run.log), run.log
    missing = agent.run(Step({**inputs, "keyStore": "windows", "keypairAlias": "Contoso", "files": "*.exe"}))
    assert (missing.result, "exit code 5" in missing.errors[-1]) == ("Failed", True)
