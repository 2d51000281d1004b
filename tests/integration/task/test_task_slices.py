"""Fan-out with the packaged task in the mini agent, and the gate's decision on the verdict that comes out."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.taskrun import TaskRun
from support.gate.chain import run_chain
from support.gate.shapes import BUILD, COLLECTION, PROJECT, SIGN_RECORD, Server, attachment
from support.places import ROOT
from support.samples import copy_launcher

GATE = json.loads((ROOT / "task" / "KspSignatureGate" / "task.json").read_text(encoding="utf-8"))
VARIABLES = {
    "Build.BuildId": BUILD,
    "System.AccessToken": "job-token",
    "System.TeamFoundationCollectionUri": COLLECTION,
    "System.TeamProjectId": PROJECT,
}
NAMES = ("cli-32.exe", "cli-64.exe", "gui-32.exe")


@pytest.fixture
def agent(tmp_path: Path) -> MiniAgent:
    """An agent with the packaged task."""
    agent = replace(agent_for(shared_vsix(), tmp_path / "tasks"), root=tmp_path)
    agent.sources.mkdir(parents=True)
    return agent


def sign_slice(agent: MiniAgent, number: int, total: int) -> TaskRun:
    """The step of one parallel job over three unsigned programs; its report is kept as an artifact would be."""
    for name in NAMES:
        copy_launcher(agent.sources, name)
    inputs = {"files": "*.exe", "keyStore": "embedded", "store": str(agent.root / "store"), "slice": "auto"}
    place = {"System.JobPositionInPhase": str(number), "System.TotalJobsInPhase": str(total)}
    run = agent.run(Step({**inputs, "pythonPath": sys.executable}, variables=place))
    kept = agent.root / "reports" / f"kspsign-slice-{number}-attempt-1" / "report.json"
    kept.parent.mkdir(parents=True)
    shutil.copyfile(run.outputs["reportPath"], kept)
    return run


def merge(agent: MiniAgent) -> TaskRun:
    inputs = {"command": "merge", "files": "kspsign-slice-*/report.json", "folder": str(agent.root / "reports")}
    return agent.run(Step({**inputs, "pythonPath": sys.executable}))


def gate_passes(run: TaskRun, **inputs: str) -> bool:
    """Whether the gate lets the build of the merge through."""
    verdicts = [attachment for attachment in run.attachments if attachment.type == "kspsign.verdict"]
    server = Server(attachments=[attachment(SIGN_RECORD, verdict.name) for verdict in verdicts])
    server.verdict = json.loads(verdicts[0].content)
    return run_chain(GATE, inputs, VARIABLES, server.ask).refused_by is None


def test_parallel_jobs_come_to_one_verdict_that_passes_the_gate(agent: MiniAgent) -> None:
    jobs = [sign_slice(agent, number, 4) for number in (1, 2, 3, 4)]
    assert {job.result for job in jobs} == {"Succeeded"}
    assert sorted(job.outputs["filesSigned"] for job in jobs) == ["0", "1", "1", "1"]
    assert all({attached.type for attached in job.attachments} <= {"kspsign.ledger"} for job in jobs), "no verdict"
    assert all(job.test_runs == () for job in jobs)
    run = merge(agent)
    assert run.result == "Succeeded"
    (published,) = run.test_runs
    assert {case.name: case.outcome for case in published.cases} == dict.fromkeys(NAMES, "Passed")
    assert not gate_passes(run)
    assert gate_passes(run, allowTestSigning="true")


def test_a_slice_that_left_no_report_fails_the_build_and_the_gate(agent: MiniAgent) -> None:
    sign_slice(agent, 1, 2)
    run = merge(agent)
    assert run.result == "Failed"
    assert "no report of slice 2 of 2" in run.errors[0]
    assert not gate_passes(run, allowTestSigning="true")
