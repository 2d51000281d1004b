"""What people see of a run: in a pipeline's log, in a terminal, as plain text."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kspsign.diagnosis import paragraph_link
from kspsign.model.errors import PrerequisiteError
from kspsign.model.hresults import Hresult
from kspsign.model.report import Report, RunWarning
from kspsign.model.values import ErrorFacts
from kspsign.publishing import Console, open_console
from kspsign.publishing.progress import Progress
from kspsign.settings.context import RunContext

if TYPE_CHECKING:
    from unit.publishing.conftest import Samples

TEST_SIGNING = "TEST SIGNING: throw-away keys, not for release"
NO_TOOL = PrerequisiteError("signtool.exe is missing", code="SIGNTOOL_MISSING", remedy="Install the Windows SDK.")


def context(surface: str) -> RunContext:
    variables = {"TF_BUILD": "True"} if surface == "azure-pipelines" else {}
    return RunContext.from_environment(variables, is_tty=surface == "terminal")


def opened(surface: str, *, quiet: bool = False, verbose: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return open_console(context(surface), quiet=quiet, verbose=verbose, stream=stream), stream


def shown(surface: str, report: Report, *, quiet: bool = False, verbose: bool = False) -> str:
    """Everything a whole run prints."""
    console, stream = opened(surface, quiet=quiet, verbose=verbose)
    console.begin(report.command, len(report.files))
    if report.certificate is not None:
        console.certificate(report.certificate, key_store="embedded", test_signing=report.test_signing)
    console.notice("engine native")
    for warning in report.warnings:
        console.warning(warning.code, warning.message)
    for done, outcome in enumerate(report.files, 1):
        console.file_done(outcome, done, len(report.files))
        console.progress(partial(Progress, done, len(report.files), 0, 0))
    console.finish(report)
    console.close()
    return stream.getvalue()


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class TestAzureLog:
    def test_names_from_outside_bring_no_command_of_their_own(self, hostile: str, samples: Samples) -> None:
        report = samples.report(samples.file(hostile), samples.file(hostile, "refused"), samples.file(hostile))
        report = replace(
            report,
            command=hostile,
            certificate=samples.certificate(subject=hostile),
            error=ErrorFacts(hostile, None, hostile, hostile),
            warnings=(RunWarning("ECDSA_CERTIFICATE", hostile, hostile),),
        )
        commands = samples.commands(shown("azure-pipelines", report, verbose=True))
        assert {command.name for command in commands} == {"task.setprogress", "task.logissue"}
        assert len([command for command in commands if command.name == "task.setprogress"]) == 2  # 33 %, 100 %
        assert len([command for command in commands if command.name == "task.logissue"]) == 3
        for command in commands:
            assert set(command.properties) <= {"value", "type", "code"}

    def test_formatting_appears_only_where_it_is_ours(self, hostile: str, samples: Samples) -> None:
        output = shown("azure-pipelines", samples.report(samples.file(hostile)))
        marks = re.findall(r"##\[(\w+)\]", output)
        assert marks == ["group", "endgroup", "section"]

    def test_each_file_has_one_line_in_the_group(self, samples: Samples) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted"))
        lines = shown("azure-pipelines", report).splitlines()
        group = lines[lines.index("##[group]kspsign run: 2 files") : lines.index("##[endgroup]")]
        stamped = "timestamp 2026-01-31T12:00:00Z by Example TSA"
        assert f"signed   verified     pe    a.exe  signed by Example  {stamped}" in group
        (failed,) = (line for line in group if "b.exe" in line)
        assert failed.startswith("failed   not trusted  pe    b.exe")
        assert failed.endswith("CERT_E_UNTRUSTEDROOT (0x800B0109)")
        assert "\n".join(lines).count("The chain ends in a root that is not trusted") == 1, "the cause is said once"

    def test_error_issues_stay_within_what_the_agent_keeps(self, samples: Samples) -> None:
        causes = [ErrorFacts(f"CAUSE_{chr(65 + n)}", None, "why", "Do it.") for n in range(15)]
        files = [replace(samples.file(f"{n}.exe", "refused"), error=causes[n // 2]) for n in range(30)]
        console, stream = opened("azure-pipelines")
        console.failed(ErrorFacts.of(NO_TOOL))
        console.finish(samples.report(*files))
        issues = [command for command in samples.commands(stream.getvalue()) if command.name == "task.logissue"]
        assert len(issues) == 9
        assert issues[0].data.startswith(
            "SIGNTOOL_MISSING: signtool.exe is missing. Remedy: Install the Windows SDK. More: https://"
        )
        assert issues[1].data == "2 files: CAUSE_A: why. Remedy: Do it. Files: 0.exe, 1.exe."
        assert issues[8].data.startswith("16 more files failed for 8 other causes: see the summary")

    @pytest.mark.parametrize("number", [1, 40, 300])
    def test_failures_of_one_cause_are_one_issue(self, number: int, samples: Samples) -> None:
        files = [samples.file(f"{n}.exe", "refused") for n in range(number)]
        output = shown("azure-pipelines", samples.report(*files))
        (raised,) = (command for command in samples.commands(output) if command.name == "task.logissue")
        assert output.count("Remedy: ") == 1
        assert raised.data.startswith(
            {1: "0.exe: TRUST_E_", 40: "40 files: TRUST_E_", 300: "300 files: TRUST_E_"}[number]
        )
        named = " Files: 0.exe, 1.exe, 2.exe and {} more (all in the report)."
        assert {40: named.format(37), 300: named.format(297)}.get(number, "") in raised.data
        assert "/docs/troubleshooting.md#" in raised.data

    def test_the_closing_line_is_red_when_the_run_failed(self, samples: Samples) -> None:
        for file, mark in ((samples.file(), "##[section]"), (samples.file("x", "refused"), "##[error]")):
            assert shown("azure-pipelines", samples.report(file)).splitlines()[-1].startswith(f"{mark}kspsign run: ")

    def test_a_long_name_does_not_push_the_remedy_out(self, samples: Samples) -> None:
        output = shown("azure-pipelines", samples.report(samples.file("x" * 5000, "refused")))
        (raised,) = (command for command in samples.commands(output) if command.name == "task.logissue")
        assert "Remedy: Check that the file's type" in raised.data

    def test_test_signing_is_one_warning(self, samples: Samples) -> None:
        output = shown("azure-pipelines", samples.report(samples.file(), test_signing=True), quiet=True)
        (warning,) = (command for command in samples.commands(output) if command.name == "task.logissue")
        assert warning.properties == {"type": "warning", "code": "TEST_SIGNING"}
        assert warning.data == TEST_SIGNING

    def test_progress_is_told_at_most_twice_a_second_and_ends_at_100(self, samples: Samples) -> None:
        output = shown("azure-pipelines", samples.report(*(samples.file(f"{n}.exe") for n in range(250))))
        values = [
            command.properties["value"] for command in samples.commands(output) if command.name == "task.setprogress"
        ]
        assert values[0] == "0"
        assert values[-1] == "100"
        assert len(values) < 20

    def test_progress_says_how_far_how_fast_how_long_and_what_is_waited_for(self, samples: Samples) -> None:
        console, stream = opened("azure-pipelines")
        waiting = (("key store", 8), ("timestamp server", 1))
        console.progress(lambda: Progress(100, 400, 25_000_000, 96_000_000, 3.25, 92.3, waiting))
        (command,) = samples.commands(stream.getvalue())
        assert command.properties == {"value": "25"}
        assert command.data == (
            "100 of 400 files, 25.0 of 96.0 MB, 3.2 files/s, 1:32 left, "
            "waiting for: key store (8), timestamp server (1)"
        )

    def test_system_debug_lists_each_check(self, samples: Samples) -> None:
        stream = io.StringIO()
        debugged = RunContext.from_environment({"TF_BUILD": "True", "SYSTEM_DEBUG": "true"}, is_tty=False)
        console = open_console(debugged, quiet=False, verbose=False, stream=stream)
        console.file_done(samples.file(), 1, 1)
        assert "ok   digest: sha256 fits" in stream.getvalue()

    def test_a_run_that_stops_leaves_no_group_open(self) -> None:
        console, stream = opened("azure-pipelines")
        console.begin("run", 3)
        console.close()
        console.close()
        assert stream.getvalue() == "##[group]kspsign run: 3 files\n##[endgroup]\n"

    def test_what_stopped_the_run_is_raised_once(self, samples: Samples) -> None:
        console, stream = opened("azure-pipelines")
        console.failed(ErrorFacts.of(NO_TOOL))
        stopped = ErrorFacts(NO_TOOL.code, None, NO_TOOL.message, NO_TOOL.remedy)
        console.finish(replace(samples.report(), error=stopped, passed=False, exit_code=5))
        assert len(samples.commands(stream.getvalue())) == 1


@pytest.mark.parametrize("surface", ["azure-pipelines", "terminal", "plain"])
class TestEverySurface:
    def test_verbose_lists_each_check(self, surface: str, samples: Samples) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted"))
        output = without_colour(shown(surface, report, verbose=True))
        assert "ok   digest: sha256 fits" in output
        assert "FAIL chain: the root is unknown" in output
        assert "the root is unknown" not in without_colour(shown(surface, report))

    def test_quiet_prints_failures_only(self, surface: str, samples: Samples) -> None:
        good = shown(surface, samples.report(samples.file("good.exe")), quiet=True)
        assert [line for line in good.splitlines() if not line.startswith("##vso[task.setprogress")] == []
        mixed = without_colour(
            shown(
                surface,
                samples.report(samples.file("good.exe"), samples.file("bad.exe", "refused")),
                quiet=True,
            )
        )
        assert "good.exe" not in mixed
        assert "bad.exe" in mixed
        assert "emedy: Check that the file's type" in mixed

    def test_test_signing_is_marked(self, surface: str, samples: Samples) -> None:
        output = without_colour(shown(surface, samples.report(samples.file(), test_signing=True)))
        assert output.count(TEST_SIGNING) == 2
        assert TEST_SIGNING in output.rstrip().splitlines()[-1]
        assert "TEST SIGNING" not in shown(surface, samples.report(samples.file()))

    def test_what_stops_the_run_comes_with_cause_and_remedy(self, surface: str) -> None:
        console, stream = opened(surface, quiet=True)
        console.begin("run", 2)
        console.failed(ErrorFacts.of(NO_TOOL))
        console.close()
        output = without_colour(stream.getvalue())
        assert "SIGNTOOL_MISSING" in output
        assert "signtool.exe is missing" in output
        assert "emedy: Install the Windows SDK." in output

    def test_a_cancelled_run_says_so(self, surface: str, samples: Samples) -> None:
        cancelled = replace(samples.report(samples.file()), passed=False, exit_code=130)
        assert "kspsign run: CANCELLED" in shown(surface, cancelled)

    def test_a_warning_stands_out_with_its_code(self, surface: str, samples: Samples) -> None:
        warned = replace(samples.report(samples.file()), warnings=(RunWarning("SOME_CODE", "mind\nthis", ""),))
        (line,) = (line for line in without_colour(shown(surface, warned)).splitlines() if "SOME_CODE" in line)
        assert "warning" in line
        assert "mind" in line

    @pytest.mark.parametrize("quiet", [True, False])
    def test_what_was_not_tried_is_counted_and_hides_no_failure(
        self, surface: str, quiet: bool, samples: Samples
    ) -> None:
        files = [samples.file(f"{number}.exe", "not tried") for number in range(300)]
        output = without_colour(shown(surface, samples.report(*files, samples.file("bad.exe", "refused")), quiet=quiet))
        assert "not tried: 300 files" in output.splitlines()
        assert "bad.exe" in output
        assert output.count("emedy: Check that the file's type") == 1
        assert "CANCELLED" not in output, "the run's own error says it"
        assert len(output.splitlines()) < 50

    def test_a_narrow_stream_takes_every_name(self, surface: str, samples: Samples) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
        console = open_console(context(surface), quiet=False, verbose=True, stream=stream)
        for name in samples.hostile:
            console.file_done(samples.file(name), 1, 1)
        stream.flush()
        assert raw.getvalue().decode("utf-8" if surface == "azure-pipelines" else "ascii").count("verified") == len(
            samples.hostile
        )


class TestTerminal:
    def test_failures_follow_the_table_of_the_others(self, samples: Samples) -> None:
        files = [samples.file(f"good{number}.exe") for number in range(30)]
        output = without_colour(shown("terminal", samples.report(*files, samples.file("bad.exe", "untrusted"))))
        table = output[output.index("outcome") :].splitlines()
        assert re.fullmatch(r"signed +verified +good0\.exe +2026-01-31 12:00 *", table[2])
        assert "and 10 more files" in table[22]
        assert table[23].startswith("\u2716 1 file: bad.exe".replace("\u2716", "\N{MULTIPLICATION X}"))
        assert output.count("bad.exe") == 1

    def test_a_terminal_without_the_marks_gets_letters(self, samples: Samples) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
        console = open_console(context("terminal"), quiet=False, verbose=False, stream=stream)
        console.finish(samples.report(samples.file("bad.exe", "untrusted")))
        stream.flush()
        assert "x 1 file: bad.exe" in without_colour(raw.getvalue().decode("ascii"))

    def test_no_color_is_heeded(self, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
        colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
        assert colour.search(shown("terminal", samples.report(samples.file(), samples.file("x", "refused"))))
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colour.search(shown("terminal", samples.report(samples.file(), samples.file("x", "refused"))))

    def test_names_colour_nothing(self, hostile: str, samples: Samples) -> None:
        plain_name = shown("terminal", samples.report(samples.file("plain.dll"), samples.file("x", "refused")))
        output = shown("terminal", samples.report(samples.file(hostile), samples.file("x", "refused")))
        escapes = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z])?")
        assert set(escapes.findall(output)) <= set(escapes.findall(plain_name))
        assert not set(output) & {"\x00", "\x07", "\u202e", "\u2028"}

    def test_markup_in_a_name_is_shown_as_it_is(self, samples: Samples) -> None:
        assert "[red]x[/red] :boom:.dll" in without_colour(
            shown("terminal", samples.report(samples.file("[red]x[/red] :boom:.dll", "refused")))
        )

    def test_the_bar_gives_the_cursor_back(self) -> None:
        console, stream = opened("terminal")
        console.begin("run", 2)
        console.progress(partial(Progress, 1, 2, 0, 0))
        console.close()
        console.close()
        output = stream.getvalue()
        assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1

    def test_one_file_needs_no_bar(self, samples: Samples) -> None:
        assert "\x1b[?25l" not in shown("terminal", samples.report(samples.file()))


class TestPlain:
    def test_the_whole_text_is_stable(self, samples: Samples) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b\n.exe", "refused"))
        assert shown("plain", report) == (
            "kspsign run: 2 files\n"
            f"certificate {'AB' * 20}  CN=Example, O=Example  valid until 2027-01-01T00:00:00Z  "
            "key store embedded\n"
            "engine native\n"
            "[1/2] signed   verified     pe    a.exe  signed by Example  "
            "timestamp 2026-01-31T12:00:00Z by Example TSA\n"
            "[2/2] failed   not checked  ?     b\\n.exe  TRUST_E_SUBJECT_FORM_UNKNOWN (0x800B0003)\n"
            "failed: 1 file: b\\n.exe\n"
            "  cause:  TRUST_E_SUBJECT_FORM_UNKNOWN (0x800B0003): "
            "No SIP (subject interface package) recognises the file's content.\n"
            f"  remedy: {Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN.remedy}\n"
            f"  more:   {paragraph_link('TRUST_E_SUBJECT_FORM_UNKNOWN')}\n"
            "kspsign run: FAILED, 2 files: 1 signed, 1 failed; 1 verified\n"
        )

    def test_names_stay_on_their_line(self, hostile: str, samples: Samples) -> None:
        output = shown("plain", samples.report(samples.file(hostile)))
        assert len(re.split(r"\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", output.rstrip("\n"))) == 5
        assert samples.commands(output) == []

    def test_standard_output_is_the_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        console = open_console(context("plain"), quiet=False, verbose=False, stream=None)
        console.notice("hello")
        assert capsys.readouterr().out == "hello\n"

    def test_a_file_on_disk_serves_as_stream(self, tmp_path: Path, samples: Samples) -> None:
        with (tmp_path / "log.txt").open("w", encoding="utf-8") as stream:
            console = open_console(context("plain"), quiet=False, verbose=False, stream=stream)
            console.file_done(samples.file("ü.exe"), 1, 1)
        assert "ü.exe" in (tmp_path / "log.txt").read_text(encoding="utf-8")
