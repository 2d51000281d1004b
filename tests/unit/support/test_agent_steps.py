"""What the mini agent makes of a step's lines: issues, results, variables, files, test runs, restrictions, masking."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from support.agent.environment import handler_environment
from support.agent.handlers import SUMMARY_TYPE, CommandProcessor
from support.agent.masking import SecretMasker
from support.agent.record import StepRecord
from support.agent.restrictions import StepTarget, restrictions
from support.agent.taskrun import Result, merge

DEFINITION: dict[str, Any] = {
    "inputs": [
        {"name": "files", "type": "multiLine"},
        {"name": "command", "type": "pickList", "defaultValue": "run"},
        {"name": "folder", "type": "filePath"},
    ],
    "restrictions": {"settableVariables": {"allowed": ["count", "sign_*"]}},
}


def step(lines: Iterable[str], *, target: StepTarget | None = None, debug: bool = False) -> StepRecord:
    """The record of a step that wrote `lines`."""
    record = StepRecord(SecretMasker(), debug)
    limits = restrictions(DEFINITION, target or StepTarget())
    processor = CommandProcessor(record, limits, frozenset({"count"}))
    for line in lines:
        processor.line(line)
    return record


def test_only_the_first_ten_issues_of_a_kind_are_kept_but_all_are_logged() -> None:
    record = step(f"##vso[task.logissue type={kind}]{n}" for n in range(12) for kind in ("error", "warning"))
    assert [issue.message for issue in record.issues if issue.kind == "error"] == [str(n) for n in range(10)]
    assert (record.error_count, record.warning_count) == (12, 12)
    assert sum(line.startswith("##[error]") for line in record.log) == 12
    assert record.result is None


@pytest.mark.parametrize(
    "line",
    [
        "##vso[task.logissue type=fatal]x",
        "##vso[task.complete result=Cancelled]x",
        "##vso[task.setprogress value=101]x",
        "##vso[task.setvariable]x",
        "##vso[task.setvariable variable=count;issecret=true]a%0Ab",
        "##vso[task.addattachment type=a/b;name=c]/etc/hostname",
        "##vso[task.uploadsummary]relative.md",
        "##vso[task.uploadsummary]/nowhere/at/all.md",
        "##vso[task.unheardof]x",
        "##vso[results.publish type=JUnit]",
    ],
)
def test_a_command_that_the_agent_refuses_fails_the_step(line: str) -> None:
    record = step([line])
    assert record.result == "Failed"
    assert record.error_count == 1


@pytest.mark.parametrize("line", ["x ##vso[task.debug", "##vso[nonsense]", "##vso[nothing.known]x"])
def test_what_is_no_command_is_a_warning(line: str) -> None:
    record = step([line])
    assert (record.result, record.warning_count) == (None, 1)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (("Succeeded", "Failed", "Succeeded"), "Failed"),
        (("SucceededWithIssues", "Succeeded"), "SucceededWithIssues"),
        (("Canceled", "Failed"), "Canceled"),
        (("Failed", "Canceled"), "Canceled"),
    ],
)
def test_the_worse_result_wins(results: tuple[Result, ...], expected: Result) -> None:
    merged: Result | None = None
    for result in results:
        merged = merge(merged, result)
    assert merged == expected


def test_declared_outputs_are_read_only_and_other_variables_are_refused() -> None:
    record = step(
        f"##vso[task.setvariable variable={name}]{value}"
        for name, value in (("count", "1"), ("count", "2"), ("PATH", "x"), ("SIGN_a", "y"), ("SIGN_a", "z"))
    )
    assert {name: variable.value for name, variable in record.variables.items()} == {"count": "1", "SIGN_a": "z"}
    assert record.variables["count"].output
    assert not record.variables["SIGN_a"].output
    assert record.warning_count == 2


def test_a_restricted_step_loses_its_attachments(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x", encoding="utf-8")
    lines = [f"##vso[task.uploadsummary]{tmp_path / 'a.md'}", "##vso[task.setvariable variable=count]1"]
    record = step(lines, target=StepTarget(restricted=True, settable_variables=()))
    assert (record.attachments, record.variables, record.warning_count) == ([], {}, 2)
    assert step(lines).attachments[0].type == SUMMARY_TYPE


def test_secrets_are_masked_from_the_moment_they_are_known() -> None:
    encoded = base64.b64encode(b"hush").decode()
    record = step(["hush", "##vso[task.setsecret]hush", f"hush {encoded}", "##vso[task.logissue type=error]hush"])
    assert record.log == ["hush", "*** ***", "##[error]***"]
    assert record.issues[0].message == "***"


def test_debug_lines_are_shown_only_when_asked_for() -> None:
    assert step(["##vso[task.debug]x"]).log == []
    assert step(["##vso[task.debug]x"], debug=True).log == ["##[debug]x"]


def test_junit_is_read_by_the_agents_rules(tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_text(
        "<testsuites tests='99'><testsuite name='s'><testcase name='a' classname='k' time='1.5'>"
        "<system-out>dropped</system-out></testcase><testcase name='b'><error message='m'>t</error>"
        "<system-out>kept</system-out></testcase><testcase name='c'><skipped message='why'/></testcase>"
        "<testcase classname='nameless'/></testsuite></testsuites>",
        encoding="utf-8",
    )
    record = step([f"##vso[results.publish type=JUnit;resultFiles={path};runTitle=Proof]"])
    (run,) = record.test_runs
    assert run.title == "Proof"
    assert [(case.name, case.outcome, case.message, case.output) for case in run.cases] == [
        ("a", "Passed", None, None),
        ("b", "Failed", "m", "kept"),
        ("c", "NotExecuted", "why", None),
    ]


def test_an_unreadable_result_file_is_only_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_text("<testsuite><testcase name='\x01'/></testsuite>", encoding="utf-8")
    record = step([f"##vso[results.publish type=JUnit;resultFiles={path}]"])
    assert (record.test_runs, record.warning_count, record.result) == ([], 1, None)


def test_the_environment_follows_the_agents_names() -> None:
    environment = handler_environment(
        DEFINITION,
        {"files": " $(build.buildId)/$(pass)/$(unknown) "},
        variables={"Build.BuildId": "7", "Build.SourcesDirectory": "/src"},
        secrets={"pass": "p", "System.AccessToken": "t"},
        inherited={"PATH": "/bin"},
    )
    assert environment["INPUT_FILES"] == "7/p/$(unknown)"
    assert environment["INPUT_COMMAND"] == "run"
    assert environment["INPUT_FOLDER"] == "/src"
    assert environment["BUILD_BUILDID"] == "7"
    assert environment["SECRET_PASS"] == "p"  # noqa: S105 -- a made-up one
    assert "PASS" not in environment
    assert environment["VSTS_PUBLIC_VARIABLES"] == '["Build.BuildId", "Build.SourcesDirectory"]'


def test_inputs_that_the_task_does_not_declare_are_refused() -> None:
    with pytest.raises(LookupError, match="no input file"):
        handler_environment(DEFINITION, {"file": "x"}, variables={}, secrets={}, inherited={})
