"""The packaged task with its real engine in the mini agent: what a user of Azure Pipelines sees."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12

from kspsign.embedded.authority import EmbeddedAuthority, load_or_create
from support.agent.environment import Endpoint
from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.restrictions import StepTarget
from support.agent.taskrun import TaskRun
from support.digicert_one.access import PASSWORD as CLIENT_PASSWORD
from support.digicert_one.fixture import running
from support.formats.peimages import build_pe

BINARIES = ("t32.exe", "t64.exe", "t64-arm.exe")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """An agent with the packaged task as it is."""
    return agent_for(shared_vsix(), tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate store of the embedded key, shared since its keys take time to make."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def agent(installed: MiniAgent, tmp_path: Path) -> MiniAgent:
    """The installed task with three real Windows programs of somebody else in the sources."""
    agent = replace(installed, root=tmp_path)
    agent.sources.mkdir(parents=True)
    for name in BINARIES:
        shutil.copyfile(_launchers() / name, agent.sources / name)
    return agent


def _launchers() -> Path:
    spec = find_spec("pip._vendor.distlib")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_keylocker_through_a_service_connection(agent: MiniAgent, tmp_path: Path) -> None:
    """certsync in one step, signing by thumbprint alone in the next; the secrets come from the connection each time."""
    files = tmp_path / "host"
    files.mkdir()
    with running(files) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        p12 = base64.encodebytes(host.client.read_bytes()).decode()
        parameters = {
            "apitoken": host.world.user.api_key,
            "clientCertificate": p12,
            "clientCertificatePassword": CLIENT_PASSWORD,
        }
        inputs = {"keyStore": "keylocker", "keypairAlias": "release", "connection": "c0ffee", "command": "certsync"}
        inputs |= {"store": str(tmp_path / "store"), "pythonPath": sys.executable}
        step = Step(
            inputs,
            variables={"System.Debug": "true"},
            env={"SM_CA_FILE": str(host.access.ca_file)},
            endpoints={"c0ffee": Endpoint(host.service.url, parameters)},
        )
        synced = agent.run(step)
        assert synced.result == "Succeeded", synced.log
        more = {"command": "run", "keypairAlias": "", "keyStore": "", "thumbprint": synced.outputs["thumbprint"]}
        more |= {"files": "**/*.exe", "noTimestamp": "true", "trustRoot": str(host.root)}
        signed = agent.run(replace(step, inputs={**inputs, **more}))
        assert signed.result == "Succeeded", signed.log
        assert (signed.outputs["filesSigned"], host.world.spent) == ("3", 3)
        kept = b"".join(
            path.read_bytes() for path in agent.root.rglob("*") if path.is_file() and files not in path.parents
        )
        for secret in (host.world.user.api_key, CLIENT_PASSWORD, *p12.splitlines()):
            assert not any(secret in line for line in (*synced.log, *signed.log))
            assert secret.encode() not in kept


def sign(store: Path, **inputs: str) -> Step:
    """A step that signs with the embedded key."""
    given = {"files": "**/*.exe", "keyStore": "embedded", "store": str(store), "pythonPath": sys.executable}
    return Step({**given, **inputs})


def verdict(run: TaskRun) -> dict[str, Any]:
    """The verdict attachment of a run."""
    (attachment,) = [attachment for attachment in run.attachments if attachment.type == "kspsign.verdict"]
    content: dict[str, Any] = json.loads(attachment.content)
    return content


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_folder_of_programs_is_signed_proved_and_published(agent: MiniAgent, store: Path) -> None:
    before = digests(agent.sources)
    run = agent.run(sign(store))
    assert run.result == "Succeeded"
    assert run.errors == ()
    assert run.warnings == ("TEST SIGNING: throw-away keys, not for release",)
    report = json.loads(
        next(attachment.content for attachment in run.attachments if attachment.type == "kspsign.report")
    )
    assert run.outputs["thumbprint"] == report["certificate"]["thumbprint"]
    assert {name: run.outputs[name] for name in ("filesMatched", "filesSigned", "filesFailed")} == {
        "filesMatched": "3",
        "filesSigned": "3",
        "filesFailed": "0",
    }
    assert json.loads(Path(run.outputs["reportPath"]).read_text(encoding="utf-8")) == report
    assert {file["path"]: file["sha256_after"] for file in report["files"]} == digests(agent.sources)
    assert not set(before.values()) & set(digests(agent.sources).values())
    (published,) = run.test_runs
    assert {case.name: case.outcome for case in published.cases} == dict.fromkeys(BINARIES, "Passed")
    (summary,) = run.summaries
    assert all(name in summary.content.decode() for name in BINARIES)
    assert (verdict(run)["result"], verdict(run)["total"], verdict(run)["verified"]) == ("verified", 3, 3)
    assert verdict(run)["buildId"] == "4711"
    assert run.progress[-1] == (100, "3 of 3 files, 0.4 of 0.4 MB")
    assert [name for name in run.leftover if name.startswith("kspsign-")] == []


def test_a_second_run_skips_what_it_has_signed(agent: MiniAgent, store: Path) -> None:
    agent.run(sign(store))
    signed = digests(agent.sources)
    run = agent.run(sign(store))
    assert (run.result, run.outputs["filesSigned"]) == ("Succeeded", "0")
    assert digests(agent.sources) == signed


def test_one_bad_file_fails_the_step_and_the_others_are_signed(agent: MiniAgent, store: Path) -> None:
    (agent.sources / "broken.exe").write_bytes((agent.sources / "t64.exe").read_bytes()[:700])
    before = digests(agent.sources)
    run = agent.run(sign(store))
    assert run.result == "Failed"
    assert run.errors[0].startswith("broken.exe: ")
    assert "Remedy: " in run.errors[0]
    assert "exit code 1: some files failed to sign" in run.errors[-1]
    assert (run.outputs["filesSigned"], run.outputs["filesFailed"]) == ("3", "1")
    assert digests(agent.sources)["broken.exe"] == before["broken.exe"]
    outcomes = {case.name: case.outcome for case in run.test_runs[0].cases}
    assert outcomes == {**dict.fromkeys(BINARIES, "Passed"), "broken.exe": "Failed"}
    assert (verdict(run)["result"], verdict(run)["failed"]) == ("failed", 1)


def test_a_tampered_file_does_not_verify(agent: MiniAgent, store: Path, tmp_path: Path) -> None:
    assert agent.run(sign(store)).result == "Succeeded"
    root = tmp_path / "root.pem"
    root.write_bytes(load_or_create(store / "embedded").root.certificate.public_bytes(Encoding.PEM))
    verify = Step(
        {"command": "verify", "files": "*.exe", "trustRoot": str(root), "pythonPath": sys.executable},
    )
    assert agent.run(verify).result == "Succeeded"
    target = agent.sources / "t32.exe"
    content = bytearray(target.read_bytes())
    content[0x400] ^= 1
    target.write_bytes(content)
    run = agent.run(verify)
    assert run.result == "Failed"
    assert run.errors[0].startswith("t32.exe: TRUST_E_BAD_DIGEST")
    assert "exit code 2: verification failed" in run.errors[-1]
    assert verdict(run)["result"] == "failed"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"files": "*.nothing"}, "exit code 4: no file matched"),
        ({"files": ""}, "exit code 4: no file matched"),
        ({"jobs": "0"}, "exit code 3: the inputs"),
        ({"jobs": "many"}, "exit code 3: the inputs"),
        ({"append": "true", "replace": "true"}, "exit code 3: the inputs"),
        ({"keyStore": ""}, "exit code 3: the inputs"),
        ({"command": "publish"}, "exit code 3: the inputs"),
    ],
)
def test_wrong_inputs_fail_before_anything_is_done(
    agent: MiniAgent, store: Path, inputs: dict[str, str], words: str
) -> None:
    before = digests(agent.sources)
    run = agent.run(sign(store, **inputs))
    assert run.result == "Failed"
    assert words in run.errors[-1]
    assert digests(agent.sources) == before


def test_file_names_can_not_command_the_agent(agent: MiniAgent, store: Path) -> None:
    source = agent.sources / "t32.exe"
    for name in ("a##vso[task.setvariable variable=thumbprint]evil.exe", "b\n##vso[task.complete result=Skipped]x.exe"):
        (agent.sources / name).write_bytes(source.read_bytes())
        (agent.sources / f"bad {name}").write_bytes(b"MZ")
    run = agent.run(sign(store))
    assert run.result == "Failed"
    assert run.outputs["filesSigned"] == "5"
    assert len(run.outputs["thumbprint"]) == 40
    assert len(run.test_runs[0].cases) == 7
    assert sum("task.complete" in line for line in run.raw if line.startswith("##vso[task.complete")) == 1


def test_a_password_reaches_the_key_and_no_output(agent: MiniAgent, authority: EmbeddedAuthority) -> None:
    password = "pässword;1]"  # noqa: S105 - a made-up one
    leaf = authority.leaf
    pfx, root = agent.root / "key.pfx", agent.root / "root.pem"
    encryption = BestAvailableEncryption(password.encode())
    chain = [authority.intermediate.certificate]
    pfx.write_bytes(pkcs12.serialize_key_and_certificates(b"signing", leaf.key, leaf.certificate, chain, encryption))
    root.write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    inputs = {"keyStore": "pkcs12", "pkcs12": str(pfx), "password": "$(pfxPassword)", "noTimestamp": "true"}
    step = sign(agent.root / "store", **inputs, trustRoot=str(root))
    debugging = replace(step, secrets={"pfxPassword": password}, variables={"System.Debug": "true"})
    run = agent.run(debugging)
    assert run.result == "Succeeded"
    assert run.outputs["filesSigned"] == "3"
    assert not any(password in line for line in run.log)
    assert not any(password in line for line in run.raw if not line.startswith("##vso[task.setsecret]"))
    assert not any(password.encode() in attachment.content for attachment in (*run.attachments, *run.summaries))
    wrong = agent.run(replace(debugging, secrets={"pfxPassword": "wrong-one"}))
    assert (wrong.result, "exit code 5" in wrong.errors[-1]) == ("Failed", True)


def test_a_cancelled_job_leaves_each_file_whole(agent: MiniAgent, store: Path) -> None:
    for number in range(1000):
        (agent.sources / f"copy{number:03}.exe").write_bytes(build_pe() + number.to_bytes(8, "little"))
    before = digests(agent.sources)
    run = agent.run(sign(store, jobs="1"), cancel_when=lambda line: line.startswith("signed "))
    assert run.result == "Canceled"
    after = digests(agent.sources)
    signed = [name for name in after if after[name] != before[name]]
    assert 0 < len(signed) < len(before)
    assert set(after) == set(before)
    assert verdict(run)["result"] == "cancelled"
    assert [name for name in run.leftover if name.startswith("kspsign-")] == []
    again = agent.run(sign(store))
    assert (again.result, again.outputs["filesSigned"]) == ("Succeeded", str(len(before) - len(signed)))


def test_a_restricted_step_loses_its_proof_but_not_its_result(agent: MiniAgent, store: Path) -> None:
    target = StepTarget(restricted=True, settable_variables=())
    run = agent.run(replace(sign(store), target=target))
    assert run.result == "Succeeded"
    assert (run.attachments, run.summaries, run.test_runs, run.outputs) == ((), (), (), {})
    assert any("not allowed" in text for text in run.warnings)
