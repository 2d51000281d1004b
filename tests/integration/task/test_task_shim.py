"""The packaged task in the mini agent, around a stand-in engine: what the shim hands over, relays and cleans up."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.agent.environment import Endpoint
from support.agent.extension import shared_vsix, use_standin
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.process import CancelTimes
from support.agent.taskrun import TaskRun

PASSWORD = "s3cret/with ünusual%signs"  # noqa: S105 -- a made-up one


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """An agent with the packaged task, its engine replaced by the stand-in; Python is the tests' own."""
    agent = agent_for(shared_vsix(), tmp_path_factory.mktemp("agent"))
    use_standin(agent)
    return agent


@pytest.fixture
def agent(installed: MiniAgent, tmp_path: Path) -> MiniAgent:
    """The installed task, with work folders of this test alone."""
    return replace(installed, root=tmp_path)


def act(agent: MiniAgent, action: str, **inputs: str) -> TaskRun:
    """Run the stand-in's `action` and return what the agent saw."""
    return agent.run(Step({"files": action, "pythonPath": sys.executable, **inputs}))


def told(run: TaskRun, mark: str) -> Any:
    """The JSON that the stand-in printed after `mark`."""
    (line,) = [line for line in run.raw if line.startswith(mark)]
    return json.loads(line.removeprefix(mark))


def test_inputs_arrive_typed_and_only_if_given(agent: MiniAgent) -> None:
    run = act(agent, "dump\n\n  a*.exe \n", command="sign", jobs="7", append="True", replace="FALSE", digest="sha384")
    document = told(run, "DUMP")
    assert document["version"] == 1
    assert document["command"] == "sign"
    expected = {"files": ["dump", "a*.exe"], "jobs": 7, "append": True, "replace": False, "digest": "sha384"}
    assert document["inputs"] == expected
    assert document["secrets"] == {}
    assert document["variables"]["BUILD_BUILDID"] == "4711"
    assert document["variables"]["AGENT_TEMPDIRECTORY"] == str(agent.temp)
    assert document["variables"]["TF_BUILD"] == "True"
    assert run.result == "Succeeded"


def test_the_command_is_run_unless_another_is_named(agent: MiniAgent) -> None:
    assert told(act(agent, "dump"), "DUMP")["command"] == "run"


def test_a_value_that_does_not_fit_its_type_reaches_the_engine_as_text(agent: MiniAgent) -> None:
    document = told(act(agent, "dump", jobs="many", append="perhaps"), "DUMP")
    assert (document["inputs"]["jobs"], document["inputs"]["append"]) == ("many", "perhaps")


def test_the_password_comes_over_stdin_only(agent: MiniAgent) -> None:
    secrets = {"pfxPassword": PASSWORD}
    inputs = {"files": "dump", "pythonPath": sys.executable, "password": "$(pfxPassword)"}
    assert told(agent.run(Step(inputs, secrets=secrets)), "DUMP")["secrets"] == {"password": PASSWORD}
    variables = {"System.Debug": "true"}
    run = agent.run(Step({**inputs, "files": "seen"}, variables=variables, secrets=secrets))
    seen = told(run, "SEEN")
    assert PASSWORD not in json.dumps(seen["env"]) + json.dumps(seen["argv"])
    written = [line for line in run.raw if PASSWORD in line or PASSWORD.replace("%", "%AZP25") in line]
    assert written == ["##vso[task.setsecret]" + PASSWORD.replace("%", "%AZP25")]
    assert not any(PASSWORD in line for line in run.log)


def test_a_service_connection_comes_over_stdin_only(agent: MiniAgent) -> None:
    key, p12, password = "01_api-key/of%the user", "MIIB\nsecond/line=", "p12 pass"
    identifier = "6b1f0c1e-9a43-4f6b-8a55-3f2d2c6a7e10"
    parameters = {"apitoken": key, "clientCertificate": p12, "clientCertificatePassword": password}
    endpoint = Endpoint("https://clientauth.one.digicert.com/", parameters)
    inputs = {"files": "dump", "pythonPath": sys.executable, "keyStore": "keylocker", "connection": identifier}
    step = Step(inputs, variables={"System.Debug": "true"}, endpoints={identifier: endpoint})
    document = told(agent.run(step), "DUMP")
    assert document["inputs"] == {"files": ["dump"], "keyStore": "keylocker"}
    assert document["secrets"] == {
        "SM_HOST": endpoint.url,
        "SM_API_KEY": key,
        "SM_CLIENT_CERT_FILE_B64": p12,
        "SM_CLIENT_CERT_PASSWORD": password,
    }
    run = agent.run(replace(step, inputs={**inputs, "files": "seen"}))
    seen = json.dumps(told(run, "SEEN"))
    for secret in (key, *p12.split("\n"), password):
        assert secret not in seen
        escaped = secret.replace("%", "%AZP25")
        assert [line for line in run.raw if secret in line or escaped in line] == [f"##vso[task.setsecret]{escaped}"]
        assert not any(secret in line for line in run.log)


def test_an_azure_connection_tells_who_signs_in(agent: MiniAgent) -> None:
    identifier = "0c6a2c58-4f8b-4f8e-9f46-7a2f6f0f7b11"
    parameters = {"tenantid": "entra-tenant", "serviceprincipalid": "application-of-the-job"}
    endpoint = Endpoint("https://management.azure.com/", parameters, scheme="WorkloadIdentityFederation")
    inputs = {"files": "dump", "pythonPath": sys.executable, "keyStore": "azure-key-vault"}
    step = Step({**inputs, "azureConnectionId": identifier}, endpoints={identifier: endpoint})
    document = told(agent.run(step), "DUMP")
    assert document["inputs"]["azureConnectionId"] == identifier
    token = document["secrets"].pop("SYSTEM_ACCESSTOKEN")
    assert document["secrets"] == {
        "AZURE_TENANT_ID": "entra-tenant",
        "AZURE_CLIENT_ID": "application-of-the-job",
        "AZURE_CONNECTION_SCHEME": "WorkloadIdentityFederation",
    }
    run = agent.run(replace(step, inputs={**step.inputs, "files": "seen"}))
    assert token not in json.dumps(told(run, "SEEN"))
    assert not any(token in line for line in run.log)


def test_the_agents_proxy_comes_over_stdin_with_its_login(agent: MiniAgent) -> None:
    given = {"Agent.ProxyUrl": "http://proxy.example:3128", "Agent.ProxyUsername": "agent"}
    variables = {**given, "Agent.ProxyBypassList": '["intranet\\\\.example"]', "System.Debug": "true"}
    inputs = {"files": "dump", "pythonPath": sys.executable}
    step = Step(inputs, variables=variables, secrets={"Agent.ProxyPassword": "proxy-pass%word"})
    assert told(agent.run(step), "DUMP")["secrets"] == {
        "AGENT_PROXYURL": "http://proxy.example:3128",
        "AGENT_PROXYUSERNAME": "agent",
        "AGENT_PROXYPASSWORD": "proxy-pass%word",
        "AGENT_PROXYBYPASSLIST": '["intranet\\\\.example"]',
    }
    run = agent.run(replace(step, inputs={**inputs, "files": "seen"}))
    assert "proxy-pass" not in json.dumps(told(run, "SEEN"))
    assert not any("proxy-pass" in line for line in run.log)


def test_a_password_written_into_the_yaml_is_masked_all_the_same(agent: MiniAgent) -> None:
    inputs = {"files": "dump", "pythonPath": sys.executable, "password": "plainly-written"}
    run = agent.run(Step(inputs, variables={"System.Debug": "true"}))
    assert told(run, "DUMP")["secrets"] == {"password": "plainly-written"}
    assert not any("plainly-written" in line for line in run.log)


def test_the_engine_sees_an_allow_listed_environment(agent: MiniAgent) -> None:
    env = {"SYSTEM_ACCESSTOKEN": "mapped-token", "PYTHONPATH": "/evil", "LD_LIBRARY_PATH": "/evil", "X": "y"}
    step = Step({"files": "seen", "pythonPath": sys.executable}, secrets={"other": "other-secret"}, env=env)
    seen = told(agent.run(step), "SEEN")
    assert not set(env) & set(seen["env"])
    assert not any("SECRET" in name or "ENDPOINT" in name or "INPUT_" in name for name in seen["env"])
    assert seen["env"]["PATH"] == os.environ["PATH"]
    assert seen["cwd"] == str(agent.sources)
    assert seen["argv"][1:] == ["-I", "-B", "-X", "utf8", "-u", str(agent.task.folder / "engine"), "task"]


def test_repository_files_shadow_nothing(agent: MiniAgent) -> None:
    agent.sources.mkdir(parents=True)
    for name in ("json", "ssl", "tempfile", "bundle", "kspsign", "sitecustomize"):
        (agent.sources / f"{name}.py").write_text("raise SystemExit(77)\n", encoding="utf-8")
    run = act(agent, "seen")
    assert run.result == "Succeeded"
    assert str(agent.sources) not in told(run, "SEEN")["path"]


@pytest.mark.parametrize("action", ["seen", "exit 1", "exit 99", "killed"])
def test_the_private_temporary_folder_is_gone_afterwards(agent: MiniAgent, action: str) -> None:
    run = act(agent, action)
    assert [name for name in run.leftover if name.startswith("kspsign")] == []
    if action == "seen":
        temp = Path(told(run, "SEEN")["temp"])
        assert temp.parent == agent.temp


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("exit 1", "exit code 1: some files failed to sign"),
        ("exit 2", "exit code 2: verification failed"),
        ("exit 3", "exit code 3: the inputs or the configuration file are wrong"),
        ("exit 4", "exit code 4: no file matched"),
        ("exit 5", "exit code 5: a prerequisite is missing"),
        ("exit 6", "exit code 6: no file could be signed"),
        ("exit 99", "exit code 99: that is unexpected"),
        ("killed", "was killed by SIGKILL: that is unexpected"),
    ],
)
def test_each_failing_end_says_what_it_means(agent: MiniAgent, action: str, words: str) -> None:
    run = act(agent, action)
    assert run.result == "Failed"
    assert words in run.errors[-1]
    assert run.exit_code == 0


def test_exit_code_130_is_a_cancelled_run(agent: MiniAgent) -> None:
    run = act(agent, "exit 130")
    assert run.result == "Canceled"
    assert run.errors == ()


def test_output_is_relayed_and_foreign_text_is_made_harmless(agent: MiniAgent) -> None:
    run = act(agent, "text")
    assert run.outputs == {"filesSigned": "3"}
    assert "plain ü" in run.log
    assert "odd #_#vso[task.setvariable variable=thumbprint]evil" in run.log
    assert "#_#[error]odd" in run.log
    assert "#_#_#_\u200b#_#vso[x.y]" in run.log
    assert "#_#vso[task.setvariable variable=reportPath]cut" in run.log
    assert run.issues == ()


def test_a_cancelled_job_interrupts_the_engine_and_waits_for_it(agent: MiniAgent) -> None:
    step = Step({"files": "wait", "pythonPath": sys.executable})
    run = agent.run(step, cancel_when=lambda line: line == "READY")
    assert run.result == "Canceled"
    assert [line for line in run.raw if line.startswith("HEARD")] == ["HEARD SIGINT"]
    assert any("task.complete result=Canceled" in line for line in run.raw)
    assert [name for name in run.leftover if name.startswith("kspsign")] == []


def test_a_stubborn_engine_hears_each_signal_once_and_is_killed(agent: MiniAgent) -> None:
    hasty = replace(agent, cancel_times=CancelTimes(to_terminate=3, to_kill=3))
    step = Step({"files": "stubborn", "pythonPath": sys.executable})
    run = hasty.run(step, cancel_when=lambda line: line == "READY")
    assert run.result == "Canceled"
    assert [line for line in run.raw if line.startswith("HEARD")] == ["HEARD SIGINT", "HEARD SIGTERM"]


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _path_with_node(folder: Path) -> dict[str, str]:
    """A PATH that has node and nothing else."""
    node = shutil.which("node")
    assert node is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "node").symlink_to(node)
    return {"PATH": str(folder)}


def test_the_newest_fitting_python_of_the_tool_cache_is_taken(agent: MiniAgent) -> None:
    cache, asked = agent.root / "_work" / "_tool" / "Python", agent.root / "asked"
    arch = "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x64"
    asked.mkdir()
    for version in ("3.9.20", "3.99.0", "3.12.2", "3.13.0", "3.14.0-rc.1"):
        works = "exit 9" if version == "3.99.0" else f'exec "{sys.executable}" "$@"'
        _script(cache / version / arch / "bin" / "python3", f': > "{asked}/{version}"; {works}')
        if version != "3.13.0":
            (cache / version / f"{arch}.complete").touch()
    run = agent.run(Step({"files": "seen"}, env=_path_with_node(agent.root / "bin")))
    assert run.result == "Succeeded"
    assert {path.name for path in asked.iterdir()} == {"3.99.0", "3.12.2"}
    assert any(line.startswith("Python 3.") for line in run.log)


def test_python_on_the_path_is_asked_in_order(agent: MiniAgent) -> None:
    env = _path_with_node(agent.root / "bin")
    _script(agent.root / "bin" / "python3", "exit 9009")
    _script(agent.root / "bin" / "python", f'exec "{sys.executable}" "$@"')
    assert agent.run(Step({"files": "seen"}, env=env)).result == "Succeeded"


def test_without_python_the_remedy_and_all_that_was_tried_are_named(agent: MiniAgent) -> None:
    env = _path_with_node(agent.root / "bin")
    _script(agent.root / "bin" / "python3", "echo '##vso[task.complete result=Succeeded]' >&2; exit 3")
    unfit = {"program": "", "environment": "", "shown": "is cpython 3.8.1 (linux-x86_64-cp38)"}
    old = json.dumps({"version": "3.8.1", "executable": "x", **unfit})
    _script(agent.root / "bin" / "python", f"echo '{old}'")
    run = agent.run(Step({"files": "seen"}, env=env))
    assert run.result == "Failed"
    (error,) = run.errors
    assert "UsePythonVersion@0" in error
    assert "pythonPath" in error
    assert "python3: ended with code 3" in error
    assert "python: is cpython 3.8.1 (linux-x86_64-cp38)" in error
    assert "py -3: " in error


def test_a_named_python_that_does_not_work_is_not_replaced_by_another(agent: MiniAgent) -> None:
    run = act(agent, "seen", pythonPath=str(agent.root / "nowhere"))
    assert run.result == "Failed"
    assert "nowhere" in run.errors[0]
    assert "python3:" not in run.errors[0]


def test_both_handlers_run_the_same_code(agent: MiniAgent) -> None:
    assert act(agent, "exit 0").handler == "Node20_1"
    assert act(replace(agent, node24=True), "exit 0").handler == "Node24"
