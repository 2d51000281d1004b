"""Every command of the packaged task with its real engine, inputs to outputs, on both Nodes and in a hostile folder."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority, load_or_create
from kspsign.embedded.timestamp_server import TimestampServer
from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.processes import Shown, descendants
from support.agent.taskrun import TaskRun
from support.certificates import PASSWORD, signing_file
from support.places import ROOT
from support.samples import assert_no_leftovers, copy_launcher, kspsign

COMMANDS = set(
    json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))["inputs"][0]["options"]
)
SHADOWS = ("json", "ssl", "tempfile", "bundle", "kspsign", "yaml", "pydantic", "provision", "sitecustomize")
NAMES = ("cli-32.exe", "cli-64.exe", "gui-64.exe")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """An agent with the packaged task as it is."""
    return agent_for(shared_vsix(), tmp_path_factory.mktemp("agent"))


@pytest.fixture
def agent(installed: MiniAgent, tmp_path: Path) -> MiniAgent:
    """In its sources: programs, and modules that end whoever imports them."""
    agent = replace(installed, root=tmp_path)
    agent.sources.mkdir(parents=True)
    for name in NAMES:
        copy_launcher(agent.sources, name)
    for name in SHADOWS:
        (agent.sources / f"{name}.py").write_text("raise SystemExit(77)\n", encoding="utf-8")
    return agent


def outputs(run: TaskRun, *names: str) -> tuple[str, ...]:
    assert run.result == "Succeeded", run.log
    return tuple(run.outputs[name] for name in names)


@pytest.mark.parametrize("node24", [False, True], ids=["node 20", "node 24"])
def test_inputs_to_outputs_of_each_command(
    agent: MiniAgent,
    node24: bool,
    authority: EmbeddedAuthority,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(agent.sources)
    agent = replace(agent, node24=node24)
    made, roots = signing_file(agent.root), agent.root / "roots.pem"
    roots.write_bytes(made.root.read_bytes() + authority.root.certificate.public_bytes(Encoding.PEM))
    trust = {"trustRoot": str(roots), "pythonPath": sys.executable}
    key = {"password": "$(pfxPassword)", "store": str(agent.root / "store"), **trust}
    seen: list[Shown] = []
    ran: dict[str, TaskRun] = {}

    def act(command: str, **inputs: str) -> TaskRun:
        def look(_line: str) -> bool:
            seen.extend(descendants())
            return False

        step = Step({"command": command, "files": "*.exe", **inputs}, secrets={"pfxPassword": PASSWORD})
        ran[command] = agent.run(step, cancel_when=look)
        assert ran[command].handler == ("Node24" if node24 else "Node20_1")
        return ran[command]

    (thumbprint,) = outputs(act("certsync", keyStore="pkcs12", pkcs12=str(made.path), **key), "thumbprint")
    by_thumbprint = {"thumbprint": thumbprint, **key}
    assert outputs(act("doctor", **by_thumbprint, noTimestamp="true")) == ()
    by_thumbprint["timestampUrl"] = timestamp_server.url
    parts = agent.root / "parts"
    for number in (1, 2):
        for name in NAMES:
            copy_launcher(agent.sources, name)
        (report,) = outputs(act("run", **by_thumbprint, slice=f"{number}/2"), "reportPath")
        (parts / str(number)).mkdir(parents=True)
        shutil.copyfile(report, parts / str(number) / "report.json")
        assert [attached.type for attached in ran["run"].attachments] == ["kspsign.ledger"], "and no verdict of a part"
    counted = ("filesMatched", "filesSigned", "filesFailed")
    merged = act("merge", files="*/report.json", folder=str(parts), pythonPath=sys.executable)
    assert outputs(merged, *counted) == ("3", "3", "0")
    assert outputs(act("sign", **by_thumbprint), *counted)[::2] == ("3", "0")
    assert outputs(act("verify", **trust), *counted) == ("3", "0", "0")
    assert outputs(act("timestamp", timestampUrl=timestamp_server.url, **trust), *counted) == ("3", "0", "0")
    assert outputs(act("inspect", **trust)) == ()
    assert "3 files: 3 verified, 0 failed" in ran["inspect"].log
    assert outputs(act("catalog", output="drop.cat", **by_thumbprint), *counted) == ("1", "1", "0")
    (launchers,) = act("shims", **by_thumbprint).prepended
    assert {path.name for path in Path(launchers).iterdir()} >= {"signtool", "smctl"}
    assert set(ran) == COMMANDS
    engines = [process for process in seen if b"engine" in process.command]
    assert len(engines) > len(COMMANDS)
    assert not [engine for engine in engines if PASSWORD.encode() in engine.command + engine.environment]
    assert not [process for process in seen if PASSWORD.encode() in process.command]


def line_number(wanted: int) -> Callable[[str], bool]:
    """True from that line on."""
    lines: list[str] = []

    def arrived(line: str) -> bool:
        lines.append(line)
        return len(lines) >= wanted

    return arrived


def test_a_cancel_at_any_moment_leaves_whole_files_no_trace_and_a_verdict(agent: MiniAgent) -> None:
    """The moments are lines of the debug log, from before Python is looked for to the last publishing command."""
    step = Step(
        {"files": "*.exe", "keyStore": "embedded", "store": str(agent.root / "store"), "pythonPath": sys.executable},
        variables={"System.Debug": "true"},
    )
    programs = {path: path.read_bytes() for path in agent.sources.glob("*.exe")}
    whole = agent.run(step)
    assert whole.result == "Succeeded", whole.log
    assert not [path for path, content in programs.items() if path.read_bytes() == content]
    root = agent.root / "root.pem"
    authority = load_or_create(agent.root / "store" / "embedded")
    root.write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    start = next(number for number, line in enumerate(whole.raw, 1) if line.startswith("Python 3."))
    engine = next(number for number, line in enumerate(whole.raw, 1) if line.endswith("]command=run"))
    first = next(number for number, line in enumerate(whole.raw, 1) if line.startswith("signed "))
    chance = random.Random(20260131)  # noqa: S311 - moments, not secrets
    moments = [1, start, start + 1, first, *chance.sample(range(start + 1, len(whole.raw)), 6)]
    for moment in moments:
        for path, content in programs.items():
            path.write_bytes(content)
        run = agent.run(step, cancel_when=line_number(moment))
        assert run.result == "Canceled", (moment, run.log)
        assert [name for name in run.leftover if name.startswith("kspsign-")] == [], moment
        assert_no_leftovers(agent.sources)
        verdicts = [
            json.loads(attachment.content) for attachment in run.attachments if attachment.type == "kspsign.verdict"
        ]
        changed = [path for path, content in programs.items() if path.read_bytes() != content]
        if moment > engine:
            assert [verdict["result"] for verdict in verdicts] in (["cancelled"], ["verified"]), (moment, run.log)
        else:
            assert (verdicts, changed) == ([], []), "the engine had not been started"
        if verdicts and verdicts[0]["result"] == "verified":
            assert len(changed) == len(programs)
        if changed:
            assert kspsign("verify", *changed, "--trust-root", root, folder=agent.root).code == 0, moment
