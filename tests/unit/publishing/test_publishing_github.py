"""A run as a step of GitHub Actions, read the way the runner reads it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.report import Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import open_console, write_records
from kspsign.publishing.workflow_commands import SUMMARY_LIMIT, summary_part, text_line, workflow_command
from kspsign.settings.context import RunContext

if TYPE_CHECKING:
    from unit.publishing.conftest import Samples

HOSTILE_COMMANDS = (
    "::stop-commands::token",
    "::token::",
    "  ::error::forged",
    "\t::set-output name=reportPath::/etc/passwd",
    "\ufeff::add-mask::a",
    ":\u200b:error::x",
    ":\u034f:error::x",
    "\u00a0::error::x",
    "x\n::error::forged",
    "x\r::error::forged",
    "%0A::error::forged",
    "##[error]forged",
    "a ##[group]b",
    "a,title=forged::b",
    "EOF",
)


@dataclass(frozen=True)
class Command:
    """A workflow command as the runner understood it."""

    name: str
    properties: dict[str, str]
    data: str


def unescape(value: str) -> str:
    """The runner's way back: %25 last."""
    for escape, char in (("%2C", ","), ("%3A", ":"), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        value = value.replace(escape, char)
    return value


def runner_commands(output: str) -> list[Command]:
    """Every command that the runner would run, in the present and in the old form."""
    found = []
    for line in re.split(r"\r\n|\r|\n", output):
        seen = re.sub(r"[^\x20-\x7e]", "", line).lstrip()
        match = re.match(r"::([\w-]+)(?: (.*?))?::(.*)", seen)
        old = re.search(r"##\[([\w-]+)", seen)
        if match:
            pairs = (pair.partition("=") for pair in (match[2] or "").split(",") if pair)
            found.append(Command(match[1], {key: unescape(value) for key, _, value in pairs}, unescape(match[3])))
        elif old:
            found.append(Command(old[1], {}, ""))
    return found


def step(folder: Path) -> RunContext:
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "99",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_REPOSITORY": "o/app",
        "GITHUB_JOB": "sign",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "RUNNER_TEMP": str(folder / "temp"),
    }
    return RunContext.from_environment(variables, is_tty=True)


def shown(report: Report, folder: Path, *, quiet: bool = False, verbose: bool = False) -> str:
    """Everything a whole run prints."""
    stream = io.StringIO()
    console = open_console(step(folder), quiet=quiet, verbose=verbose, stream=stream)
    console.begin(report.command, len(report.files))
    if report.certificate is not None:
        console.certificate(report.certificate, key_store="pkcs12", test_signing=report.test_signing)
    for done, outcome in enumerate(report.files, 1):
        console.notice(outcome.path)
        console.file_done(outcome, done, len(report.files))
    console.finish(report)
    console.close()
    return stream.getvalue()


def outputs(folder: Path) -> dict[str, str]:
    """The step's outputs, as the runner reads them."""
    values: dict[str, str] = {}
    lines = iter((folder / "output").read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, _, delimiter = line.partition("<<")
        values[name] = "\n".join(iter(lambda: next(lines), delimiter))
    return values


def test_the_surface_is_known_by_the_runners_variables(tmp_path: Path) -> None:
    context = step(tmp_path)
    assert context.surface == "github-actions"
    assert context.build is not None
    assert (context.build.id, context.build.attempt, context.build.repository) == ("99", 2, "o/app")
    assert context.temp_folder == tmp_path / "temp"
    both = {"GITHUB_ACTIONS": "true", "TF_BUILD": "True"}
    assert RunContext.from_environment(both, is_tty=False).surface == "azure-pipelines"
    assert RunContext.from_environment({"GITHUB_ACTIONS": "1"}, is_tty=False).surface == "plain"


def test_a_run_is_a_group_annotations_and_a_notice(samples: Samples, tmp_path: Path) -> None:
    report = samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted"), test_signing=True)
    found = runner_commands(shown(report, tmp_path))
    assert [command.name for command in found] == ["group", "warning", "endgroup", "error", "error"]
    error = found[3]
    assert error.properties == {"file": "b.exe", "title": "CERT_E_UNTRUSTEDROOT"}
    assert error.data.startswith("b.exe: CERT_E_UNTRUSTEDROOT (0x800B0109): ")
    assert "Remedy: " in error.data
    assert found[4].properties == {"title": "kspsign"}
    assert "FAILED" in found[4].data
    passed = runner_commands(shown(samples.report(samples.file("a.exe")), tmp_path))
    assert passed[-1].name == "notice"


def test_quiet_shows_failures_only(samples: Samples, tmp_path: Path) -> None:
    assert shown(samples.report(samples.file("a.exe")), tmp_path, quiet=True) == ""


def test_an_error_that_stops_the_run_is_one_annotation(samples: Samples, tmp_path: Path) -> None:
    stream = io.StringIO()
    console = open_console(step(tmp_path), quiet=False, verbose=False, stream=stream)
    error = PrerequisiteError("no tool", code="SIGNTOOL_MISSING", remedy="Install it.")
    console.failed(ErrorFacts.of(error))
    console.finish(replace(samples.report(), error=ErrorFacts.of(error), passed=False))
    (raised, closing) = runner_commands(stream.getvalue())
    assert raised.data.startswith("SIGNTOOL_MISSING: no tool. Remedy: Install it. More: https://")
    assert closing.data == "kspsign run: FAILED"


@pytest.mark.parametrize("words", HOSTILE_COMMANDS, ids=ascii)
def test_words_from_outside_bring_no_command_of_their_own(words: str, samples: Samples, tmp_path: Path) -> None:
    report = samples.report(samples.file(words), samples.file(words, "untrusted"), samples.file(words, "refused"))
    report = replace(report, command=words, certificate=samples.certificate(subject=words))
    report = replace(report, error=ErrorFacts(words, None, words, words))
    found = runner_commands(shown(report, tmp_path, verbose=True))
    assert [command.name for command in found] == ["group", "endgroup", "error", "error", "error", "error"]
    for command in found[2:5]:
        assert set(command.properties) <= {"file", "title"}


def test_hostile_names_bring_no_command_of_their_own(hostile: str, samples: Samples, tmp_path: Path) -> None:
    found = runner_commands(shown(samples.report(samples.file(hostile)), tmp_path, verbose=True))
    assert [command.name for command in found] == ["group", "endgroup", "notice"]


def test_escapes_come_back() -> None:
    nasty = "100%: a,b\r\nc%0Ad::e"
    (command,) = runner_commands(workflow_command("error", nasty, title=nasty))
    assert (command.data, command.properties) == (nasty, {"title": nasty})
    assert text_line("C::\\x is text") == "C::\\x is text"


def test_outputs_and_summary_are_appended(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "summary").write_text("before\n", encoding="utf-8")
    report = samples.report(samples.file("a.exe"))
    write_records(report, files={}, context=step(tmp_path))
    values = outputs(tmp_path)
    assert set(values) == {"filesMatched", "filesSigned", "filesFailed", "reportPath", "thumbprint"}
    assert (values["filesMatched"], values["thumbprint"]) == ("1", "AB" * 20)
    assert Path(values["reportPath"]).is_file()
    summary = (tmp_path / "summary").read_text(encoding="utf-8")
    assert summary.startswith("before\n# Signature verification: ")


def test_a_report_path_can_set_no_other_output(samples: Samples, tmp_path: Path) -> None:
    report_file = tmp_path / "x\nthumbprint<<E\nforged\nE"
    write_records(samples.report(samples.file("a.exe")), files={"report": report_file}, context=step(tmp_path))
    values = outputs(tmp_path)
    assert values["reportPath"] == str(report_file)
    assert values["thumbprint"] == "AB" * 20


def test_a_stage_alone_leaves_no_summary(samples: Samples, tmp_path: Path) -> None:
    report = samples.report(samples.file("a.exe"), command="sign")
    write_records(report, files={}, context=step(tmp_path))
    assert not (tmp_path / "summary").exists()


def test_a_summary_keeps_to_the_limit() -> None:
    line = "| \U0001f600 |\n"
    part = summary_part(line * SUMMARY_LIMIT)
    assert SUMMARY_LIMIT - 100 < len(part.encode("utf-8")) < SUMMARY_LIMIT + 100
    assert set(part.splitlines()) == {line.strip(), "", "The rest is in the report."}
    assert summary_part(line) == f"{line}\n"


def test_a_file_that_takes_nothing_is_named(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    with pytest.raises(ConfigurationError, match="output"):
        write_records(samples.report(), files={}, context=step(tmp_path))
