"""docs/reference/settings.md and the published schema are what the settings, manifests and sources say."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from kspsign.cli.options import settings_fields
from kspsign.diagnosis.catalogue import catalogue
from kspsign.settings.faults import option_name
from support.places import ROOT
from support.sources import nodes_of

sys.path.insert(0, str(ROOT / "tools"))

from environment_variables import READ, WRITTEN
from write_settings_page import ACTION, PAGE, TASK, dashed, texts

VARIABLE = re.compile(
    r"(?:(?:ACTIONS|AGENT|BUILD|SYSTEM|RELEASE|GITHUB|RUNNER|SM|AZURE|AZURESUBSCRIPTION|IDENTITY|MSI|PIP|KSPSIGN)_[A-Z0-9_]+"
    r"|TF_BUILD|NO_COLOR|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|(?:http|https|all|no)_proxy|(?:HTTP|HTTPS|ALL|NO)_PROXY)"
)
"""Names of environment variables; those of a scheme's proxy are composed."""


def named() -> Iterator[str]:
    """The variables that the sources of the engine and of the task name."""
    codes = set(catalogue().by_name)
    for path in [*(ROOT / "python" / "kspsign").rglob("*.py"), *(ROOT / "task" / "engine").glob("*.py")]:
        for node in nodes_of(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                yield from {node.value} - codes
    for path in (ROOT / "task" / "shim" / "src").glob("*.ts"):
        yield from VARIABLE.findall(path.read_text(encoding="utf-8"))


def test_the_files_are_what_would_be_written() -> None:
    for path, text in texts().items():
        assert path.read_text(encoding="utf-8") == text, "run tools/write_settings_page.py"


def test_every_setting_is_listed_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in settings_fields():
        option = "`PATTERN ...`" if name == "files" else f"`{option_name(name)}`"
        assert len(re.findall(rf"^\| {re.escape(option)} \|.* \| `{name}` \|", page, re.MULTILINE)) == 1, name


def test_the_outputs_of_task_and_action_are_the_same() -> None:
    assert [dashed(output["name"]) for output in TASK["outputVariables"]] == [*ACTION["outputs"]]


def test_every_variable_that_is_read_is_listed() -> None:
    listed = [name for variable in READ for name in variable.names]
    of_libraries = {name for variable in READ if variable.library for name in variable.names}
    composed = {"http_proxy", "https_proxy"}
    assert len(listed) == len(set(listed))
    assert set(named()) - WRITTEN == set(listed) - of_libraries - composed
