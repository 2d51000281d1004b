"""Pipelines, templates and documentation, as the Azure Pipelines language service reads them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.language_service.documents import documentation_blocks, pipeline_files
from support.language_service.schema import TASKS, service_schema
from support.places import ROOT

CHECKER = ROOT / "tests" / "support" / "language_service" / "check.mjs"
TEMPLATES = ROOT / "pipelines" / "templates"
FILES = pipeline_files()


def diagnostics(documents: dict[str, str]) -> dict[str, list[str]]:
    """What the language service has to say of each document."""
    request = json.dumps({"schema": service_schema(), "documents": documents})
    run = subprocess.run(
        ["node", str(CHECKER)], input=request, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return dict(json.loads(run.stdout))


def test_every_pipeline_and_template_is_without_fault() -> None:
    assert len(FILES) > 10
    assert {name: found for name, found in diagnostics(FILES).items() if found} == {}


def test_every_block_of_the_documentation_is_without_fault() -> None:
    blocks = documentation_blocks()
    assert blocks
    assert {name: found for name, found in diagnostics(blocks).items() if found} == {}


STEP = "steps:\n- task: KspSign@1\n  inputs:\n    files: '*.exe'\n"
FAULTS = {
    "an unknown input": (STEP + "    filez: x\n", "filez"),
    "another task's input": (STEP + "    buildId: 1\n", "buildId"),
    "an unknown value": (STEP + "    keyStore: hsm\n", "embedded"),
    "a wrong type": (STEP + "    skipSigned: maybe\n", "boolean"),
    "words for a number": (STEP + "    jobs: many\n", "integer"),
    "an unknown task": ("steps:\n- task: KspSing@0\n", "not accepted"),
    "an unknown version": ("steps:\n- task: KspSign@9\n", "not accepted"),
    "an unknown key of a step": (STEP + "  environment: {}\n", "environment"),
    "a job without steps": ("jobs:\n- job: a\n", "steps"),
    "words for parallel jobs": ("jobs:\n- job: a\n  strategy:\n    parallel: all\n  steps: []\n", "integer"),
    "no YAML": ("steps:\n- task: 'x\n", ""),
    "a key twice": (STEP + "    files: y\n", "duplicate"),
}


def test_faults_are_found() -> None:
    found = diagnostics({name: text for name, (text, _message) in FAULTS.items()})
    for name, (_text, message) in FAULTS.items():
        assert found[name], name
        assert message in " ".join(found[name]), name
    assert diagnostics({"right": STEP + "    jobs: 4\n    skipSigned: $(skip)\n"}) == {"right": []}


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _mappings(child)


def _declared(path: Path) -> dict[str, bool]:
    """The parameters of a template, and whether a caller must give them."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {parameter["name"]: "default" not in parameter for parameter in content["parameters"]}


@pytest.mark.parametrize("name", [name for name in FILES if "/templates/" in name])
def test_a_template_uses_exactly_the_parameters_that_it_declares(name: str) -> None:
    used = set(re.findall(r"parameters\.(\w+)", FILES[name]))
    assert used == set(_declared(ROOT / name))


def test_callers_give_a_template_its_parameters_and_no_others() -> None:
    seen = set()
    for name, text in FILES.items():
        for call in (
            mapping for mapping in _mappings(yaml.safe_load(text)) if isinstance(mapping.get("template"), str)
        ):
            target = TEMPLATES / Path(call["template"].partition("@")[0]).name
            declared, given = _declared(target), set(call.get("parameters", {}))
            assert given <= set(declared), f"{name} gives {target.name} {given - set(declared)}"
            assert {name_ for name_, needed in declared.items() if needed} <= given, f"{name} -> {target.name}"
            seen.add(target.name)
    assert seen == {path.name for path in TEMPLATES.glob("*.yml")}


def test_templates_know_the_key_stores_of_the_task_and_what_each_needs() -> None:
    """`key` holds inputs of the task: exactly those that sign-steps.yml hands on."""
    inputs = {declared["name"]: declared for declared in TASKS[0]["inputs"]}
    known = set(re.findall(r"parameters\.key\.(\w+)", FILES["pipelines/templates/sign-steps.yml"]))
    assert known <= set(inputs)
    said = FILES["pipelines/templates/sign-steps.yml"].partition("# Where the key is")[2].partition("- name: key\n")[0]
    named = set(re.findall(r"\w+", said)) & set(inputs) - set(inputs["keyStore"]["options"]) - {"password"}
    assert named <= known, "the comment names what is not handed on"
    for name, text in FILES.items():
        for declared in (mapping for mapping in _mappings(yaml.safe_load(text)) if mapping.get("name") == "keyStore"):
            assert set(declared["values"]) <= set(inputs["keyStore"]["options"]), name
        for call in (
            mapping for mapping in _mappings(yaml.safe_load(text)) if isinstance(mapping.get("template"), str)
        ):
            key = call.get("parameters", {}).get("key", {})
            assert isinstance(key, str) or set(key) <= known, name


def test_the_simplest_use_is_five_lines() -> None:
    lines = [line for line in FILES["pipelines/examples/five-lines.yml"].splitlines() if not line.startswith("#")]
    assert len(lines) == 5


def test_no_secret_is_written_out() -> None:
    for name, text in FILES.items():
        for secret in re.findall(r"^\s*(?:password|SM_API_KEY|\w*PASSWORD): (.*)$", text, re.MULTILINE):
            assert re.fullmatch(r"\$\(\w+\)|\$\{\{ parameters\.key\.password \}\}", secret), name
