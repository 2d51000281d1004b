"""The GitHub action: its inputs are the settings, its scripts hold no words from outside, and it runs."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from kspsign.cli.github_action import ACTION_ONLY, CONFIG_INPUT, INPUT_PREFIX, ActionDocument, read_document
from kspsign.cli.options import settings_fields
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.model import COMMAND_LINE_FIELDS
from kspsign.settings.store_options import secret_variables
from support.github import ACTION, STEPS, document
from support.places import ROOT

VARIABLES = {name for model in STORES.built_in().values() for name, _variable in secret_variables(model)}
NO_INPUTS = VARIABLES | COMMAND_LINE_FIELDS | {"publish_token_env"}
"""The action's password is an input; results of GitHub's runs go to no server of Azure DevOps."""


def test_the_inputs_are_the_settings() -> None:
    settings = settings_fields()
    fields = {name.replace("_", "-") for name in set(settings) - NO_INPUTS}
    assert set(ACTION["inputs"]) == fields | {"command", "password", CONFIG_INPUT} | ACTION_ONLY
    for name in fields:
        assert ACTION["inputs"][name] == {"description": settings[name.replace("-", "_")].description}


def test_the_outputs_are_those_of_the_engine() -> None:
    task = json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))
    shown = [output["value"].removeprefix("${{ steps.kspsign.outputs.") for output in ACTION["outputs"].values()]
    values = {value.removesuffix(" }}") for value in shown}
    assert values == {output["name"] for output in task["outputVariables"]}


def test_each_input_is_handed_to_the_engine_as_a_value_of_its_own() -> None:
    handed = {name: text for name, text in STEPS["kspsign"]["env"].items() if name.startswith(INPUT_PREFIX)}
    assert handed == {
        INPUT_PREFIX + name.replace("-", "_").upper(): f"${{{{ inputs.{name} }}}}"
        for name in set(ACTION["inputs"]) - ACTION_ONLY
    }


def test_no_word_from_outside_stands_in_a_script() -> None:
    for step in STEPS.values():
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def test_inputs_reach_the_last_step_alone() -> None:
    assert [name for name, step in STEPS.items() if "inputs." in str(step["env"])] == ["engine", "kspsign"]
    assert STEPS["engine"]["env"] == {"PYTHON": "${{ inputs.python }}", "HTML": "${{ inputs.html }}"}


def test_what_is_installed_is_locked_and_there() -> None:
    files = re.findall(r'"\$GITHUB_ACTION_PATH/([^"]+)"', STEPS["engine"]["run"])
    assert files
    assert all((ROOT / name).exists() for name in files)
    assert "--require-hashes" in STEPS["engine"]["run"]
    assert "task/ui && npm ci " in STEPS["engine"]["run"]
    assert (ROOT / "task" / "ui" / "package-lock.json").is_file()


def test_inputs_become_settings() -> None:
    given = {"command": "verify", "files": "a.exe\n b.exe \n", "jobs": "7", "skip-signed": "true", "digest": ""}
    read = read_document(document({**given, "password": " p "}, SM_API_KEY="k"), {})
    assert read.command == "verify"
    assert read.settings == {"files": ["a.exe", "b.exe"], "jobs": "7", "skip_signed": "true"}
    assert (read.secrets, read.variables) == ({"password": "p"}, {"SM_API_KEY": "k"})
    assert read_document(document({"command": ""}), {}) == ActionDocument("run", {}, {}, {})


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"SM_API_KEY=x\0", b"\xff\0", document({"files": "x"}) + b"rest\0"),
        *(document({"filez": "x"}), document({"agent-environment": "x"})),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError):
        read_document(content, {})


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
