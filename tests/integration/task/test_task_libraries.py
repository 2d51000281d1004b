"""A package without libraries for the agent's platform: they are installed by hash, once, or the step refuses to."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from support.agent.extension import shared_vsix, use_standin
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.package_index import HOST, PASSWORD, USER, PackageIndex
from support.agent.taskrun import TaskRun
from support.places import ROOT
from support.samples import copy_launcher

sys.path.insert(0, str(ROOT / "tools"))

from package import current_target
from vendor import wheels

REGISTRY = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
NOWHERE = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}


def stripped(root: Path) -> MiniAgent:
    """An agent whose package carries nothing for any interpreter, as on a platform that nobody built for."""
    agent = agent_for(shared_vsix(), root)
    shutil.rmtree(agent.task.folder / "engine" / "lib")
    return agent


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """With the engine."""
    return stripped(tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """With the stand-in in the engine's place."""
    use_standin(agent := stripped(tmp_path_factory.mktemp("agent")))
    return agent


@pytest.fixture(scope="module")
def wheel_folder() -> Path:
    """The locked wheels for this interpreter."""
    (target,) = current_target()
    return wheels(target)[0].parent


def step(env: Mapping[str, str], **inputs: str) -> Step:
    return Step({"pythonPath": sys.executable, "files": "seen", **inputs}, env=env)


def sign(agent: MiniAgent, env: Mapping[str, str]) -> TaskRun:
    """Sign one program with the embedded key."""
    copy_launcher(agent.sources, to="app.exe")
    inputs = {"files": "*.exe", "keyStore": "embedded", "store": str(agent.root / "store"), "replace": "true"}
    return agent.run(step(env, **inputs))


def environments(agent: MiniAgent) -> list[Path]:
    """What is in our part of the tools folder, but for lock files."""
    return sorted(path for path in (agent.root / "_work" / "_tool" / "kspsign").iterdir() if path.suffix != ".lock")


def said(run: TaskRun, words: str) -> bool:
    return any(words in line for line in run.log)


def test_libraries_are_installed_from_the_index_once_and_mended(
    real: MiniAgent, wheel_folder: Path, tmp_path: Path
) -> None:
    agent = replace(real, root=tmp_path)
    agent.sources.mkdir(parents=True)
    first = sign(agent, REGISTRY)
    assert first.result == "Succeeded", first.log
    assert said(first, "the package has no libraries for CPython 3.")
    assert said(first, "installing them into ")
    (made,) = environments(agent)
    again = sign(agent, NOWHERE)
    assert (again.result, said(again, f"using those in {made}")) == ("Succeeded", True), again.log
    next(made.rglob("_pydantic_core*")).unlink()
    lost = sign(agent, NOWHERE)
    assert (lost.result, "exit code 5" in lost.errors[-1]) == ("Failed", True)
    assert environments(agent) == [made], "what is broken stays until another is whole"
    mended = sign(agent, {**NOWHERE, "PIP_FIND_LINKS": str(wheel_folder)})
    assert (mended.result, said(mended, "installing them into "), environments(agent)) == ("Succeeded", True, [made])


def test_two_jobs_at_once_install_once_through_the_agents_index_and_proxy(
    standin: MiniAgent, wheel_folder: Path, tmp_path: Path
) -> None:
    """The proxy's password reaches pip, and neither the log nor the engine."""
    tools = {"Agent.ToolsDirectory": str(tmp_path / "_work" / "_tool")}
    jobs = [replace(standin, root=tmp_path / name) for name in ("one", "two")]
    env = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"http://{HOST}/simple/", "PIP_TRUSTED_HOST": HOST}
    with PackageIndex(wheel_folder) as index:
        proxy = {"Agent.ProxyUrl": index.proxy, "Agent.ProxyUsername": USER}
        asked = replace(step(env), variables={**tools, **proxy}, secrets={"Agent.ProxyPassword": PASSWORD})
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda job: job.run(asked), jobs))
        assert [run.result for run in runs] == ["Succeeded"] * 2, [run.log for run in runs]
        requests = index.asked
        assert [job.run(asked).result for job in jobs] == ["Succeeded"] * 2
        assert index.asked == requests > 0
    assert sorted(said(run, "installing them into ") for run in runs) == [False, True]
    (made,) = environments(replace(standin, root=tmp_path))
    for run in runs:
        (line,) = [line for line in run.raw if line.startswith("SEEN")]
        seen = json.loads(line.removeprefix("SEEN"))
        assert not any(name.startswith("PIP_") or "PROXY" in name for name in seen["env"])
        assert any(Path(entry).is_relative_to(made) for entry in seen["path"])
        assert not any(PASSWORD in text for text in (line, *run.log))


@pytest.mark.parametrize("word", ["true", "yes"])
def test_the_input_refuses_to_install(standin: MiniAgent, tmp_path: Path, word: str) -> None:
    agent = replace(standin, root=tmp_path)
    run = agent.run(step(REGISTRY, bundledOnly=word))
    assert run.result == "Failed"
    (error,) = run.errors
    assert all(words in error for words in ("UsePythonVersion@0", "bundledOnly forbids", "is cpython 3.", "-cp3"))
    assert not (tmp_path / "_work" / "_tool").exists()


def test_a_wheel_that_is_not_the_locked_one_is_refused(standin: MiniAgent, wheel_folder: Path, tmp_path: Path) -> None:
    forged = shutil.copytree(wheel_folder, tmp_path / "wheels")
    wheel = next(forged.glob("mdurl-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    agent = replace(standin, root=tmp_path)
    run = agent.run(step({**NOWHERE, "PIP_FIND_LINKS": str(forged)}))
    assert run.result == "Failed"
    assert said(run, "THESE PACKAGES DO NOT MATCH THE HASHES")
    assert environments(agent) == []


def test_without_an_index_the_platform_the_command_and_the_fix_are_named(standin: MiniAgent, tmp_path: Path) -> None:
    agent = replace(standin, root=tmp_path)
    run = agent.run(
        step({**NOWHERE, "PIP_FIND_LINKS": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:9/", "PIP_RETRIES": "0"})
    )
    assert run.result == "Failed"
    named = ("no libraries for CPython 3.", "-cp3", "pip install --require-hashes", "exit code 1", "PIP_INDEX_URL")
    assert all(words in run.errors[0] for words in (*named, "HTTPS_PROXY", "UsePythonVersion@0")), run.errors[0]
    assert not any(PASSWORD in line or quote(PASSWORD, safe="") in line for line in run.raw)
    assert (environments(agent), [name for name in run.leftover if name.startswith("kspsign")]) == ([], [])


def test_cancelled_or_killed_while_installing(standin: MiniAgent, wheel_folder: Path, tmp_path: Path) -> None:
    """A cancelled run leaves nothing; what a killed one left is removed by the next, which is not held up."""
    agent = replace(standin, root=tmp_path)
    asked = step({**NOWHERE, "PIP_FIND_LINKS": str(wheel_folder)})
    cancelled = agent.run(asked, cancel_when=lambda line: line.startswith("Processing "))
    assert (cancelled.result, environments(agent)) == ("Canceled", [])
    killed = agent.run(asked, kill_when=lambda line: line.startswith("Processing "))
    assert (killed.result, [place.name[0] for place in environments(agent)]) == ("Failed", ["."])
    assert agent.run(asked).result == "Succeeded"
    assert [place.name[0] != "." for place in environments(agent)] == [True]
