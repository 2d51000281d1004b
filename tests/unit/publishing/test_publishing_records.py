"""What a run leaves behind: report, results, summary, and what a pipeline is told."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from kspsign.model.errors import ConfigurationError
from kspsign.model.ledger_facts import KeyUseFacts, LedgerFacts
from kspsign.model.report import Report
from kspsign.model.run_facts import PolicyFacts
from kspsign.model.values import NOT_CHECKED, ErrorFacts
from kspsign.publishing import report_schema, report_text, write_record, write_records
from kspsign.publishing.evidence import RESULTS, report_attachment
from kspsign.publishing.junit import CASES, junit_text
from kspsign.publishing.report_file import report_pieces
from kspsign.publishing.sanitize import encodable
from kspsign.publishing.summary import summary_text
from kspsign.settings.context import RunContext

if TYPE_CHECKING:
    from unit.publishing.conftest import Command, Samples

STOPPED = ErrorFacts("SIGNTOOL_MISSING", None, "signtool.exe is missing", "Install the Windows SDK.")


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document.encode("utf-8"))  # noqa: S314 - the document is our own


def published(report: Report, context: RunContext) -> str:
    stream = io.StringIO()
    write_records(report, files={}, context=context, stream=stream)
    return stream.getvalue()


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def only(commands: list[Command], name: str, **properties: str) -> Command:
    (found,) = (
        command for command in commands if command.name == name and properties.items() <= command.properties.items()
    )
    return found


class TestReport:
    def test_it_has_the_keys_of_the_schema_in_order(self, samples: Samples) -> None:
        report = samples.report(samples.file(), samples.file("b.exe", "refused"))
        content = json.loads(report_text(report))
        jsonschema.Draft202012Validator.check_schema(report_schema())
        jsonschema.validate(content, report_schema(), cls=jsonschema.Draft202012Validator)
        assert list(content) == [
            "schema",
            *(field.name for field in fields(Report) if field.name != "schema"),
        ]
        assert content == json.loads(json.dumps(asdict(report)))

    @pytest.mark.parametrize(
        "spoil",
        [{"schema": "kspsign.report/2"}, {"passed": "yes"}, {"files": [{"path": "a"}]}, {"totals": None}],
        ids=str,
    )
    def test_the_schema_refuses_another_shape(self, spoil: dict[str, Any], samples: Samples) -> None:
        content = json.loads(report_text(samples.report(samples.file()))) | spoil
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, report_schema())

    def test_names_come_back_and_no_command_is_in_its_text(self, hostile: str, samples: Samples) -> None:
        text = report_text(samples.report(samples.file(hostile)))
        assert json.loads(text)["files"][0]["path"] == encodable(hostile)
        assert text.isascii()
        assert "#" not in text

    def test_its_pieces_are_one_text(self, samples: Samples) -> None:
        files = [samples.file(f"{number}.exe") for number in range(201)]
        for count in (0, 1, 100, 101, 201):
            report = samples.report(*files[:count])
            content = json.loads("".join(report_pieces(report)))
            assert [file["path"] for file in content["files"]] == [file.path for file in report.files]
            assert content["files"] == json.loads(json.dumps([asdict(file) for file in report.files]))

    def test_each_use_of_the_key_is_a_line(self, samples: Samples) -> None:
        use = KeyUseFacts("0" * 32, None, "sha256", 1, "t", None, None, None, None, '#\n  "uses": []', "lost")
        for count in (0, 1, 101):
            ledger = LedgerFacts("1" * 32, None, None, count, {"lost": count}, uses=(use,) * count)
            report = replace(samples.report(samples.file("a.exe")), ledger=ledger, max_signatures=7)
            text = report_text(report)
            assert json.loads(text)["ledger"] == json.loads(json.dumps(asdict(ledger)))
            assert (json.loads(text)["max_signatures"], "#" in text) == (7, False)
            assert sum(line.startswith('{"use":') for line in text.splitlines()) == count

    def test_a_large_one_is_attached_compressed_under_the_digest_of_its_text(self, samples: Samples) -> None:
        files = [samples.file()] * (RESULTS + 1)
        for report, unpacked in ((samples.report(*files[:1]), bytes), (samples.report(*files), gzip.decompress)):
            attachment, text = report_attachment(report), report_text(report).encode()
            assert attachment.name.endswith(".gz") is (unpacked is gzip.decompress)
            assert unpacked(attachment.content) == text
            assert attachment.sha256 == hashlib.sha256(text).hexdigest()


class TestWriting:
    def test_the_file_is_replaced_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "new" / "report.json"
        write_record(target, ("old\n",))
        write_record(target, ("ü\nnew\n",))
        assert target.read_bytes() == "ü\nnew\n".encode()
        assert names_in(target.parent) == ["report.json"]

    def test_the_old_file_stays_when_the_new_one_fails(self, tmp_path: Path) -> None:
        target = tmp_path / "report.json"
        write_record(target, ("old",))
        with pytest.raises(ConfigurationError):
            write_record(target, ("new \ud800",))
        assert target.read_bytes() == b"old"
        assert names_in(tmp_path) == ["report.json"]

    def test_a_folder_is_refused_and_stays(self, tmp_path: Path) -> None:
        target = tmp_path / "folder"
        target.mkdir()
        with pytest.raises(ConfigurationError) as refused:
            write_record(target, ("new",))
        assert refused.value.file == str(target)
        assert refused.value.exit_code == 3
        assert "regular file" in refused.value.message
        assert names_in(tmp_path) == ["folder"]

    @pytest.mark.parametrize("name", ["file/report.json", "nul\x00.json", "x" * 400])
    def test_a_place_that_takes_no_file_is_named(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ConfigurationError) as refused:
            write_record(tmp_path / name, ("new",))
        assert refused.value.file == str(tmp_path / name)
        assert names_in(tmp_path) == ["file"]


class TestJunit:
    def test_each_artifact_is_one_case(self, samples: Samples) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted"), samples.file("c", "refused"))
        (suite,) = parsed(junit_text(report))
        assert suite.get("name") == "Signature verification"
        assert [(case.get("name"), case.get("classname")) for case in suite.iter("testcase")] == [
            ("a.exe", "kspsign.pe"),
            ("b.exe", "kspsign.pe"),
            ("c", "kspsign.unknown"),
        ]
        assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["3", "1", "1"]
        assert suite.findall("testcase")[0].get("time") == "0.250"

    def test_of_many_files_the_failures_have_cases_and_the_others_are_counted(self, samples: Samples) -> None:
        files = [samples.file(f"{number:05}.exe") for number in range(CASES + 9)]
        suite = parsed(junit_text(samples.report(*files, samples.file("z.exe", "untrusted"))))[0]
        assert (suite.get("tests"), suite.get("failures")) == (str(CASES), "1")
        names = [case.get("name", "") for case in suite.iter("testcase")]
        assert (names[0], names[-2:]) == ("00000.exe", [f"{CASES - 2:05}.exe", "z.exe"])
        counted = suite.find("properties/property[@name='files']")
        assert counted is not None
        assert (counted.get("value") or "").startswith("10 more files")

    def test_a_failure_names_cause_remedy_and_checks(self, samples: Samples) -> None:
        failure = parsed(junit_text(samples.report(samples.file("b.exe", "untrusted")))).find(".//failure")
        assert failure is not None
        assert failure.get("message", "").startswith("CERT_E_UNTRUSTEDROOT (0x800B0109): The chain ends")
        remedy, more, check = (failure.text or "").splitlines()
        assert more.endswith("/docs/troubleshooting.md#untrusted-root")
        assert remedy.startswith("remedy: Pass the root with --trust-root")
        assert check == "failed check: chain: the root is unknown"

    def test_a_file_that_was_not_verified_is_no_success(self, samples: Samples) -> None:
        skipped = replace(samples.file(), outcome="skipped", verdict=NOT_CHECKED)
        suite = parsed(junit_text(replace(samples.report(skipped), passed=True)))
        assert suite.find(".//error") is not None
        assert suite.find(".//skipped") is None

    def test_a_run_that_stopped_is_an_error_with_its_remedy(self, samples: Samples) -> None:
        stopped = replace(samples.report(), error=STOPPED, passed=False, exit_code=5)
        (case,) = parsed(junit_text(stopped)).iter("testcase")
        error = case.find("error")
        assert case.get("name") == "kspsign run"
        assert error is not None
        assert error.get("message") == "SIGNTOOL_MISSING: signtool.exe is missing"
        assert (error.text or "").startswith("remedy: Install the Windows SDK.\nmore:   https://")

    def test_no_result_is_an_empty_green(self, samples: Samples) -> None:
        nothing = replace(samples.report(), passed=True)
        half_done = replace(samples.report(samples.file()), passed=False, exit_code=130)
        for report in (nothing, half_done):
            assert parsed(junit_text(report)).find(".//error[@type='NOTHING_PROVED']") is not None

    def test_hostile_words_break_nothing(self, hostile: str, samples: Samples) -> None:
        error = ErrorFacts(hostile, None, hostile, hostile)
        bad = replace(samples.file(hostile, "untrusted"), error=error, format=hostile)
        report = replace(samples.report(bad), certificate=samples.certificate(hostile), command=hostile, error=error)
        text = junit_text(report)
        suite = parsed(text)
        assert len(list(suite.iter("testcase"))) == 2
        assert len(list(suite.iter("failure"))) == 1
        assert samples.commands(text) == []


class TestSummary:
    def test_a_release_manager_finds_the_answers(self, samples: Samples) -> None:
        text = summary_text(samples.report(samples.file("a.exe"), samples.file("b.exe")))
        assert text.startswith("# Signature verification: passed\n\n2 files: 2 signed; 2 verified.")
        assert f"| Signed by | CN=Example, O=Example (thumbprint {'AB' * 20}) |" in text
        assert "| Certificate valid until | 2027-01-01T00:00:00Z |" in text
        assert "| Timestamped by | Example TSA (2) |" in text
        assert "TEST SIGNING" not in text

    def test_fewer_signatures_than_files_are_explained(self, samples: Samples) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b.exe"))
        one, two = (
            summary_text(replace(report, ledger=LedgerFacts(None, None, None, asked, {"embedded": asked})))
            for asked in (1, 2)
        )
        assert "| 1 signature asked for, 1 embedded in files; 2 files signed: equal files share a signature" in one
        assert "| Uses of the key | 2 signatures asked for, 2 embedded in files |" in two

    def test_failures_come_first_with_their_remedy(self, samples: Samples) -> None:
        text = summary_text(samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted")))
        assert text.startswith("# Signature verification: failed")
        (row,) = (line for line in text.splitlines() if line.startswith("| b.exe |"))
        _, _, reason, _, _ = (cell.strip() for cell in row.split("|"))
        cause, _break, code = reason.partition("<br>")
        assert cause.startswith("The chain ends in a root")
        assert code.startswith("[CERT_E_UNTRUSTEDROOT (0x800B0109)](https://")
        assert text.index("b.exe") < text.index("Certificate valid until") < text.index("a.exe")
        assert "Pass the root with --trust-root if it is yours" in text

    def test_files_of_one_cause_are_one_row(self, samples: Samples) -> None:
        text = summary_text(samples.report(*(samples.file(f"b{n}.exe", "refused") for n in range(300))))
        assert "| 300 files:<br>b0.exe<br>b1.exe<br>b2.exe<br>and 297 more, in the attached report |" in text
        assert text.count("Check that the file") == 1

    def test_the_table_of_files_is_capped(self, samples: Samples) -> None:
        text = summary_text(samples.report(*(samples.file(f"g{n}.exe") for n in range(205))))
        assert text.count(".exe |") == 200
        assert "5 more files: in the attached report." in text.splitlines()

    def test_failures_take_no_rows_from_the_files_that_did_not_fail(self, samples: Samples) -> None:
        failed = [samples.file(f"b{n}.exe", "refused") for n in range(300)]
        assert "\n| good.exe | signed |" in summary_text(samples.report(*failed, samples.file("good.exe")))

    def test_the_table_of_causes_is_capped(self, samples: Samples) -> None:
        errors = [ErrorFacts(f"CODE_{chr(65 + n // 26)}{chr(65 + n % 26)}", None, "x", "y") for n in range(60)]
        files = [replace(samples.file(f"b{n}.exe", "refused"), error=error) for n, error in enumerate(errors)]
        text = summary_text(samples.report(*files))
        assert text.count("CODE_") == 50
        assert "10 more files for 10 other causes: in the attached report." in text.splitlines()

    def test_without_a_certificate_the_files_tell_who_signed(self, samples: Samples) -> None:
        report = replace(samples.report(samples.file(), command="verify"), certificate=None)
        assert "| Signed by | CN=Example, O=Example (1) |" in summary_text(report)

    def test_what_was_not_tried_is_counted_and_hides_no_failure(self, samples: Samples) -> None:
        files = [samples.file(f"{number}.exe", "not tried") for number in range(300)]
        text = summary_text(samples.report(*files, samples.file("bad.exe", "untrusted")))
        assert "300 files not tried: in the attached report." in text.splitlines()
        assert "| bad.exe |" in text
        assert "0.exe" not in text

    def test_states_other_than_passed(self, samples: Samples) -> None:
        stopped = summary_text(replace(samples.report(), error=STOPPED, passed=False, exit_code=5))
        assert "**Cause:** signtool.exe is missing ([SIGNTOOL_MISSING](https://" in stopped
        assert "**Remedy:** Install the Windows SDK." in stopped
        assert "processed no file" in stopped
        cancelled = summary_text(replace(samples.report(samples.file()), passed=False, exit_code=130))
        assert cancelled.startswith("# Signature verification: cancelled")

    def test_test_signing_is_marked(self, samples: Samples) -> None:
        text = summary_text(samples.report(samples.file(), test_signing=True))
        assert "> **TEST SIGNING: throw-away keys, not for release**" in text

    def test_hostile_words_add_no_row_and_no_column(self, hostile: str, samples: Samples) -> None:
        error = ErrorFacts(hostile, None, hostile, hostile)
        bad = replace(samples.file(hostile, "untrusted"), error=error)
        report = replace(samples.report(samples.file(hostile), bad), certificate=samples.certificate(hostile))
        calm = replace(samples.report(samples.file("a"), replace(bad, path="b", error=STOPPED)))
        text, model = summary_text(report), summary_text(calm)
        assert [line.count("|") for line in text.splitlines()] == [line.count("|") for line in model.splitlines()]
        assert samples.commands(text) == []


class TestPipeline:
    def test_the_agent_is_told_everything_and_finds_every_file(self, samples: Samples, tmp_path: Path) -> None:
        report = samples.report(samples.file("a.exe"), samples.file("b.exe", "untrusted"))
        commands = samples.commands(published(report, samples.step(tmp_path)))
        values = {
            command.properties["variable"]: command.data
            for command in commands
            if command.name == "task.setvariable" and command.properties["isoutput"] == "true"
        }
        own = Path(values.pop("reportPath"))
        assert values == {
            "filesMatched": "2",
            "filesSigned": "2",
            "filesFailed": "1",
            "thumbprint": "AB" * 20,
        }
        assert own.read_text(encoding="utf-8") == report_text(report)
        results = only(commands, "results.publish")
        assert results.properties == {
            "type": "JUnit",
            "resultFiles": results.properties["resultFiles"],
            "mergeResults": "true",
            "runTitle": "Signature verification",
            "publishRunAttachments": "true",
            "testRunSystem": "kspsign",
        }
        paths = [Path(results.properties["resultFiles"]), Path(only(commands, "task.uploadsummary").data)]
        texts = [junit_text(report), summary_text(report)]
        for path, text in zip(paths, texts, strict=True):
            assert path.is_absolute()
            assert path.read_bytes() == text.encode("utf-8")
        assert only(commands, "task.uploadfile").data == str(own)
        assert only(commands, "task.addattachment", type="kspsign.report").data == str(own)
        assert len(commands) == 10

    def test_the_verdict_holds_what_a_gate_asks(self, samples: Samples, tmp_path: Path) -> None:
        files = samples.file("a.exe"), samples.file("b.exe", "untrusted"), samples.file("c.exe", "refused")
        commands = samples.commands(published(samples.report(*files, test_signing=True), samples.step(tmp_path)))
        attached = only(commands, "task.addattachment", type="kspsign.verdict")
        report_copy = Path(only(commands, "task.uploadfile").data)
        assert attached.properties["name"] == "verdict-12f1170f-54f2-2.json"
        assert json.loads(Path(attached.data).read_text(encoding="utf-8")) == {
            "schema": "kspsign.verdict/1",
            "result": "failed",
            "total": 3,
            "verified": 1,
            "failed": 2,
            "leftOut": 0,
            "unsigned": 1,
            "buildId": "4711",
            "jobId": "12f1170f-54f2",
            "attempt": 2,
            "reportSha256": hashlib.sha256(report_copy.read_bytes()).hexdigest(),
            "testSigning": True,
            "policyDigest": None,
        }
        assert only(commands, "results.publish").properties["runTitle"] == "Signature verification (TEST SIGNING)"

    @pytest.mark.parametrize(
        ("changes", "result"),
        [
            ({}, "verified"),
            ({"passed": False, "exit_code": 2}, "failed"),
            ({"passed": False, "exit_code": 130}, "cancelled"),
            ({"files": ()}, "failed"),
        ],
        ids=["verified", "failed", "cancelled", "files-missing"],
    )
    def test_only_a_complete_run_that_passed_is_verified(
        self, changes: dict[str, Any], result: str, samples: Samples, tmp_path: Path
    ) -> None:
        report = replace(samples.report(samples.file()), **changes)
        commands = samples.commands(published(report, samples.step(tmp_path)))
        attached = Path(only(commands, "task.addattachment", type="kspsign.verdict").data)
        assert json.loads(attached.read_bytes())["result"] == result

    def test_a_file_that_a_policy_lets_stay_unsigned_is_not_counted_as_unsigned(
        self, samples: Samples, tmp_path: Path
    ) -> None:
        allowed = replace(samples.file(), outcome="skipped", signatures=())
        report = replace(samples.report(allowed), policy=PolicyFacts("strict", "a" * 64))
        commands = samples.commands(published(report, samples.step(tmp_path)))
        attached = Path(only(commands, "task.addattachment", type="kspsign.verdict").data)
        verdict = json.loads(attached.read_bytes())
        assert (verdict["result"], verdict["unsigned"], verdict["policyDigest"]) == ("verified", 0, "a" * 64)
        assert "strict" in Path(only(commands, "task.uploadsummary").data).read_text(encoding="utf-8")

    def test_no_file_is_no_verified_verdict(self, samples: Samples, tmp_path: Path) -> None:
        commands = samples.commands(published(samples.report(), samples.step(tmp_path)))
        attached = Path(only(commands, "task.addattachment", type="kspsign.verdict").data)
        assert json.loads(attached.read_bytes())["result"] == "failed"

    @pytest.mark.parametrize("command", ["certsync", "sign", "timestamp"])
    def test_commands_that_prove_nothing_set_variables_only(
        self, command: str, samples: Samples, tmp_path: Path
    ) -> None:
        output = published(samples.report(command=command), samples.step(tmp_path))
        assert {found.name for found in samples.commands(output)} == {"task.setvariable"}

    def test_two_steps_of_a_job_share_no_file(self, samples: Samples, tmp_path: Path) -> None:
        outputs = [published(samples.report(samples.file()), samples.step(tmp_path)) for _ in range(2)]
        first, second = (only(samples.commands(output), "task.uploadsummary").data for output in outputs)
        assert Path(first).parent != Path(second).parent

    def test_files_asked_for_are_written_and_the_report_is_named(self, samples: Samples, tmp_path: Path) -> None:
        report, stream = samples.report(samples.file()), io.StringIO()
        asked = tmp_path / "a,b" / "r.json", tmp_path / "a,b" / "j.xml", tmp_path / "a,b" / "s.md"
        write_records(
            report,
            files=dict(zip(("report", "junit", "summary"), asked, strict=True)),
            context=samples.step(tmp_path / "temp"),
            stream=stream,
        )
        texts = [path.read_text(encoding="utf-8") for path in asked]
        assert texts == [report_text(report), junit_text(report), summary_text(report)]
        commands = samples.commands(stream.getvalue())
        assert only(commands, "task.setvariable", variable="reportPath").data == str(asked[0])
        assert "," not in only(commands, "results.publish").properties["resultFiles"]

    def test_a_comma_in_the_agents_folder_is_a_warning(self, samples: Samples, tmp_path: Path) -> None:
        commands = samples.commands(published(samples.report(samples.file()), samples.step(tmp_path / "a,b")))
        assert only(commands, "task.logissue").properties["code"] == "RESULTS_NOT_PUBLISHED"
        assert not [command for command in commands if command.name == "results.publish"]

    def test_hostile_words_set_nothing_else(self, hostile: str, samples: Samples, tmp_path: Path) -> None:
        report = replace(samples.report(samples.file(hostile)), certificate=samples.certificate(hostile))
        context = samples.step(tmp_path)._replace(job_id=hostile)
        commands = samples.commands(published(report, context))
        assert len(commands) == 11
        assert {command.properties["variable"] for command in commands if command.name == "task.setvariable"} == {
            "thumbprint",
            "filesMatched",
            "filesSigned",
            "filesFailed",
            "reportPath",
        }

    def test_nothing_is_published_when_a_file_is_refused(self, samples: Samples, tmp_path: Path) -> None:
        stream = io.StringIO()
        with pytest.raises(ConfigurationError) as refused:
            write_records(
                samples.report(samples.file()),
                files={"report": tmp_path},
                context=samples.step(tmp_path / "temp"),
                stream=stream,
            )
        assert refused.value.file == str(tmp_path)
        assert stream.getvalue() == ""

    def test_an_agent_folder_that_takes_nothing_is_named(self, samples: Samples, tmp_path: Path) -> None:
        (tmp_path / "temp").write_bytes(b"")
        with pytest.raises(ConfigurationError, match="can't create a folder"):
            published(samples.report(samples.file()), samples.step(tmp_path / "temp"))


@pytest.mark.parametrize("is_tty", [True, False])
def test_outside_a_pipeline_only_the_files_asked_for_are_left(is_tty: bool, samples: Samples, tmp_path: Path) -> None:
    stream = io.StringIO()
    context = RunContext.from_environment({"AGENT_TEMPDIRECTORY": str(tmp_path / "temp")}, is_tty=is_tty)
    write_records(
        samples.report(samples.file()),
        files={"report": tmp_path / "report.json"},
        context=context,
        stream=stream,
    )
    assert names_in(tmp_path) == ["report.json"]
    assert stream.getvalue() == ""
