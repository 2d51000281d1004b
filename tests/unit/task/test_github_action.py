"""The GitHub action: its inputs are the settings, its scripts hold no words from outside, and it runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kspsign.cli.github_action import ACTION_ONLY, CONFIG_INPUT, INPUTS_VARIABLE, read_inputs
from kspsign.cli.options import settings_fields
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.store_options import secret_variables
from support.places import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
VARIABLES = {name for model in STORES.built_in().values() for name, _variable in secret_variables(model)}
NO_INPUTS = VARIABLES | {"publish_token_env"}
"""The action's password is an input; results of GitHub's runs go to no server of Azure DevOps."""


def test_the_inputs_are_the_settings() -> None:
    settings = settings_fields()
    fields = {name.replace("_", "-") for name in set(settings) - NO_INPUTS}
    assert set(ACTION["inputs"]) == fields | {"command", "password", CONFIG_INPUT} | ACTION_ONLY
    for name in fields:
        assert ACTION["inputs"][name] == {"description": settings[name.replace("-", "_")].description}


def test_the_outputs_are_those_of_the_engine() -> None:
    task = json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))
    shown = [each["value"].removeprefix("${{ steps.kspsign.outputs.") for each in ACTION["outputs"].values()]
    values = {value.removesuffix(" }}") for value in shown}
    assert values == {each["name"] for each in task["outputVariables"]}


def test_no_word_from_outside_stands_in_a_script() -> None:
    for step in STEPS:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def test_the_password_reaches_the_last_step_alone() -> None:
    holders = [step["id"] for step in STEPS if "toJSON(inputs)" in str(step["env"]) or "password" in str(step["env"])]
    assert holders == ["kspsign"]


def test_what_is_installed_is_locked_and_there() -> None:
    files = re.findall(r'"\$SOURCE/([^"]+)"', STEPS[0]["run"])
    assert files
    assert all((ROOT / name).is_file() for name in files)
    assert "--require-hashes" in STEPS[0]["run"]


def test_inputs_become_settings() -> None:
    given = {"command": "verify", "files": "a.exe\n b.exe \n", "jobs": "7", "skip-signed": "true", "digest": ""}
    command, settings, secrets = read_inputs(json.dumps({**given, "password": " p ", "python": "python3"}))
    assert command == "verify"
    assert settings == {"files": ["a.exe", "b.exe"], "jobs": "7", "skip_signed": "true"}
    assert secrets == {"password": "p"}
    assert read_inputs("{}") == ("run", {}, {})


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"files": 1}', "{", '{"filez": "x"}', '{"agent-environment": "x"}']
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_inputs(text)


def test_a_step_runs(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"no program")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "HOME") if name in os.environ},
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "1",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        INPUTS_VARIABLE: json.dumps({"command": "verify", "files": "*.bin", "key-store": ""}),
    }
    run = subprocess.run(
        [sys.executable, "-m", "kspsign", "action"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "::error file=one.bin,title=" in run.stdout
    assert "filesMatched<<" in (tmp_path / "output").read_text(encoding="utf-8")
    assert "one.bin" in (tmp_path / "summary").read_text(encoding="utf-8")


def test_documented_workflows_use_declared_inputs_and_outputs() -> None:
    page = (ROOT / "docs" / "how-to" / "github-actions.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    steps = [step for block in blocks for job in block["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if "/kspsign@" in step.get("uses", "")]
    assert ours
    for step in ours:
        assert set(step["with"]) <= set(ACTION["inputs"])
    named = re.search(r"outputs are (.*?)\. ", page)
    assert named is not None
    assert set(re.findall(r"`([\w-]+)`", named[1])) == set(ACTION["outputs"])
