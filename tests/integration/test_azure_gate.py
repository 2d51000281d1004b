"""`kspsign gate` against Azure DevOps on loopback: what real runs left behind, and everything that may be wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from azure_server.server import TOKEN, AzureServer, Fault
from azure_server.state import Build, guid
from azure_server.uploads import JOB_ID, Upload, step_variables, uploads
from integration.samples import Run, Store, kspsign
from kspsign.azure import REPORT_TYPE, TASK_ID, VERDICT_TYPE
from kspsign.context import RunContext
from kspsign.errors import CancelledError, GateRefusedError, KspSignError, PrerequisiteError
from kspsign.gate.deciding import run_gate
from kspsign.gate.settings import resolve_gate

OTHER_TASK = "6d15af64-176c-496d-b583-fd2ae21d4df4"
TASK_JSON = Path(__file__).resolve().parents[2] / "task" / "KspSign" / "task.json"


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    """The server, with nothing in it."""
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="module")
def proof(store: Store, signed_launcher: bytes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Upload, ...]:
    """What a real `kspsign verify` of one signed file attached to build 4711."""
    folder = tmp_path_factory.mktemp("proof")
    (folder / "app.exe").write_bytes(signed_launcher)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in step_variables("https://example.org/Contoso", folder / "temp").items():
            environment.setenv(name, value)
        run = kspsign("verify", folder / "app.exe", "--trust-root", store.root, folder=folder)
    assert run.code == 0
    return tuple(uploads(run.text))


@dataclass
class Waiting:
    """Time that passes only when the gate waits; `meanwhile` happens in the pauses, one after the other."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    meanwhile: list[Any] = field(default_factory=list)
    cancel: bool = False

    def clock(self) -> float:
        """Seconds since some moment."""
        return self.now

    def pause(self, seconds: float) -> bool:
        """Let time pass."""
        self.now += seconds
        self.pauses.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return self.cancel


@dataclass
class Asked:
    """What the gate said."""

    code: int
    text: str
    error: str


def ask(azure: AzureServer, temp: Path, waiting: Waiting | None = None, **options: Any) -> Asked:
    """Ask the gate about build 4711, with its options by their names in the settings."""
    variables = step_variables(azure.url, temp) | {"SYSTEM_ACCESSTOKEN": TOKEN}
    time = waiting or Waiting()
    stream = io.StringIO()
    context = RunContext.from_environment(variables, is_tty=False)
    try:
        settings = resolve_gate(options, variables)
        code = run_gate(settings, context, pause=time.pause, stream=stream, clock=time.clock)
    except KspSignError as error:
        return Asked(error.exit_code, stream.getvalue(), str(error))
    return Asked(code, stream.getvalue(), "")


def add_job(build: Build, attempt: int = 1) -> dict[str, Any]:
    """The job that the proof comes from."""
    job = build.add_job(attempt=attempt)
    job["id"] = JOB_ID
    return job


def attach(build: Build, record: dict[str, Any], proof: tuple[Upload, ...], **changes: Any) -> None:
    """Upload the proof from a step, with changes to the verdict."""
    for each in proof:
        content = each.content
        if each.kind == VERDICT_TYPE:
            content = json.dumps(json.loads(content) | changes).encode()
        build.attach(record, each.kind, each.name, content)


def signed_build(azure: AzureServer, proof: tuple[Upload, ...], ended: str = "succeeded", **changes: Any) -> Build:
    """A build in which our task attached the proof."""
    build = azure.organisation.add_build()
    attach(build, build.add_step(add_job(build), TASK_ID, result=ended), proof, **changes)
    return build


def test_the_identity_of_the_task_is_the_manifests() -> None:
    assert json.loads(TASK_JSON.read_text(encoding="utf-8"))["id"] == TASK_ID


def test_a_proved_build_passes_and_each_check_is_named(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
) -> None:
    signed_build(azure, proof)
    said = ask(azure, tmp_path, report=tmp_path / "gate.json")
    assert (said.code, said.error) == (0, "")
    report = json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))
    (subject,) = report["subjects"]
    names = ["build", "verdicts", "origin", "step", "identity", "result", "keys", "report", "steps"]
    assert [check["name"] for check in subject["checks"]] == names
    assert report["passed"] is True
    assert all(f"ok   {name}: " in said.text for name in names)
    assert said.text.splitlines()[-1] == "kspsign gate: open"
    assert TOKEN not in said.text + json.dumps(report)


class TestNo:
    def refused(self, said: Asked, *checks: str) -> None:
        """The gate says no, for these checks and no others."""
        assert said.code == 7
        failed = [line.split()[1].rstrip(":") for line in said.text.splitlines() if line.startswith("    FAIL ")]
        assert failed == list(checks)
        assert all(f"{check}: " in said.error for check in checks)
        assert "##vso[task.logissue type=error;code=GATE_REFUSED;]" in said.text
        assert said.text.splitlines()[-1] == "kspsign gate: closed"

    def test_nothing_was_attached(self, azure: AzureServer, tmp_path: Path) -> None:
        build = azure.organisation.add_build()
        build.add_step(add_job(build), TASK_ID)
        self.refused(ask(azure, tmp_path), "verdicts")

    def test_a_tag_is_no_proof(self, azure: AzureServer, tmp_path: Path) -> None:
        azure.organisation.add_build().tags.append("kspsign-verified")
        self.refused(ask(azure, tmp_path), "verdicts", "steps")

    @pytest.mark.parametrize("task", [OTHER_TASK, None], ids=["other-task", "no-task"])
    def test_a_verdict_that_another_step_attached(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, task: str | None
    ) -> None:
        build = azure.organisation.add_build()
        job = add_job(build)
        build.add_step(job, TASK_ID)
        attach(build, build.add_step(job, task, name="kspsign run"), proof)
        self.refused(ask(azure, tmp_path), "origin")

    def test_a_forged_verdict_beside_the_true_one(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = signed_build(azure, proof)
        attach(build, build.add_step(build.records[0], OTHER_TASK), proof)
        self.refused(ask(azure, tmp_path), "verdicts", "origin")
        self.refused(ask(azure, tmp_path, verdicts=2), "origin")

    def test_a_verdict_of_an_earlier_attempt(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = signed_build(azure, proof)
        build.retry()
        build.add_step(add_job(build, attempt=2), TASK_ID)
        said = ask(azure, tmp_path)
        self.refused(said, "verdicts")
        assert "1 of earlier attempts do not count" in said.text

    def test_a_verdict_of_an_earlier_attempt_attached_anew(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = azure.organisation.add_build()
        attach(build, build.add_step(add_job(build, attempt=2), TASK_ID), proof)
        self.refused(ask(azure, tmp_path), "identity")

    @pytest.mark.parametrize("result", ["failed", "succeededWithIssues", "canceled"])
    def test_the_step_did_not_succeed(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, result: str
    ) -> None:
        """succeededWithIssues is what continueOnError makes of a failure."""
        signed_build(azure, proof, result)
        self.refused(ask(azure, tmp_path), "step", "steps")

    def test_another_step_of_ours_did_not_succeed(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = signed_build(azure, proof)
        build.add_step(build.records[0], TASK_ID, result="succeededWithIssues", name="sign the rest")
        said = ask(azure, tmp_path)
        self.refused(said, "steps")
        assert "'sign the rest' has succeededWithIssues" in said.error

    @pytest.mark.parametrize(
        ("changes", "checks"),
        [
            ({"total": 0, "verified": 0}, ("result",)),
            ({"result": "failed", "failed": 1}, ("result",)),
            ({"result": "cancelled"}, ("result",)),
            ({"total": True, "verified": True}, ("result",)),
            ({"failed": None}, ("result",)),
            ({"buildId": "4712"}, ("identity",)),
            ({"buildId": 4711}, ("identity",)),
            ({"jobId": guid()}, ("identity",)),
            ({"schema": "kspsign.verdict/9"}, ("identity",)),
            ({"testSigning": True}, ("keys",)),
            ({"testSigning": "no"}, ("keys",)),
            ({"reportSha256": "0" * 64}, ("report",)),
            ({"reportSha256": None}, ("report",)),
        ],
        ids=str,
    )
    def test_what_the_verdict_says(
        self,
        azure: AzureServer,
        proof: tuple[Upload, ...],
        tmp_path: Path,
        changes: dict[str, Any],
        checks: tuple[str, ...],
    ) -> None:
        signed_build(azure, proof, **changes)
        self.refused(ask(azure, tmp_path), *checks)

    @pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000], ids=range(5))
    def test_what_is_no_verdict(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, content: bytes
    ) -> None:
        build = signed_build(azure, proof)
        next(each for each in build.attachments if each.kind == VERDICT_TYPE).content = content
        self.refused(ask(azure, tmp_path), "identity", "result", "keys", "report")

    def test_a_report_that_was_changed(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        build = signed_build(azure, proof)
        next(each for each in build.attachments if each.kind == REPORT_TYPE).content += b" "
        said = ask(azure, tmp_path)
        self.refused(said, "report")
        assert "its SHA-256 is not the one in the verdict" in said.error

    def test_a_report_that_another_step_attached(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = signed_build(azure, proof)
        other = build.add_step(build.records[0], OTHER_TASK)
        next(each for each in build.attachments if each.kind == REPORT_TYPE).record_id = other["id"]
        self.refused(ask(azure, tmp_path), "report")

    def test_a_report_that_proves_nothing(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        content = json.dumps({"schema": "kspsign.report/1", "passed": True, "files": [1, {"verdict": 2}]}).encode()
        build = signed_build(azure, proof, reportSha256=hashlib.sha256(content).hexdigest())
        next(each for each in build.attachments if each.kind == REPORT_TYPE).content = content
        self.refused(ask(azure, tmp_path), "report")

    def test_a_build_that_does_not_exist(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        signed_build(azure, proof)
        said = ask(azure, tmp_path, build_id=(4711, 9))
        self.refused(said, "build")
        assert "build 9 (" in said.error
        assert "build 4711: passed" in said.text


def test_test_signing_passes_where_it_is_allowed(azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
    signed_build(azure, proof, testSigning=True)
    said = ask(azure, tmp_path, allow_test_signing=True)
    assert said.code == 0
    assert "TEST SIGNING, allowed" in said.text


def test_several_verdicts_pass_when_that_many_are_expected(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
) -> None:
    build = signed_build(azure, proof)
    attach(build, build.add_step(build.records[0], TASK_ID), proof)
    assert ask(azure, tmp_path).code == 7
    assert ask(azure, tmp_path, verdicts=2).code == 0
    assert ask(azure, tmp_path, verdicts=3).code == 7


def test_skipped_steps_and_those_still_to_come_do_not_count(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
) -> None:
    build = signed_build(azure, proof)
    build.add_step(build.records[0], TASK_ID, result="skipped")
    build.add_step(build.records[0], TASK_ID, result=None, name="verify before the release")
    assert ask(azure, tmp_path).code == 0


class TestFiles:
    @pytest.fixture
    def downloads(self, signed_launcher: bytes, tmp_path: Path) -> Path:
        """The signed file as the release stage downloaded it."""
        folder = tmp_path / "drop" / "bin"
        folder.mkdir(parents=True)
        (folder / "app.exe").write_bytes(signed_launcher)
        return folder

    def test_the_files_that_were_proved(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        said = ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent)
        assert said.code == 0
        assert "ok   files: 1 as they were proved" in said.text

    def test_a_file_that_changed_after_it_was_signed(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        (downloads / "app.exe").write_bytes((downloads / "app.exe").read_bytes()[:-1] + b"!")
        said = ask(azure, tmp_path, files=("**/*.exe",), folder=downloads.parent)
        assert said.code == 7
        assert "bin/app.exe has changed since it was proved" in said.error

    def test_a_file_that_nobody_proved(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, downloads: Path
    ) -> None:
        signed_build(azure, proof)
        (downloads / "##vso[task.complete]x.dll").write_bytes(b"MZ")
        said = ask(azure, tmp_path, files=("**/*",), folder=downloads.parent)
        assert said.code == 7
        assert "x.dll was proved by no build" in said.error
        assert "##vso[task.complete]" not in said.text

    def test_no_file_at_all(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        signed_build(azure, proof)
        assert ask(azure, tmp_path, files=("*.exe",), folder=tmp_path).code == 4


class TestWaiting:
    def test_a_verdict_that_comes_meanwhile(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = azure.organisation.add_build()
        step = build.add_step(add_job(build), TASK_ID, result=None)

        def end() -> None:
            step.update(state="completed", result="succeeded")

        waiting = Waiting(meanwhile=[lambda: attach(build, step, proof), end])
        said = ask(azure, tmp_path, waiting, wait=5)
        assert said.code == 0
        assert waiting.pauses == [15.0, 15.0]
        assert said.text.count("waiting: no final verdict yet of build 4711") == 2

    def test_the_time_ends(self, azure: AzureServer, tmp_path: Path) -> None:
        azure.organisation.add_build()
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=1).code == 7
        assert waiting.now == 60

    def test_a_build_that_is_over_is_not_waited_for(self, azure: AzureServer, tmp_path: Path) -> None:
        build = azure.organisation.add_build()
        build.status, build.result = "completed", "succeeded"
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=5).code == 7
        assert waiting.pauses == []

    def test_a_failed_step_is_not_waited_for(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        signed_build(azure, proof, "failed")
        waiting = Waiting()
        assert ask(azure, tmp_path, waiting, wait=5).code == 7
        assert waiting.pauses == []

    def test_an_outage_meanwhile(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        signed_build(azure, proof)
        azure.faults.extend(Fault("status", 503, path="/timeline") for _ in range(4))
        said = ask(azure, tmp_path, Waiting(), wait=5)
        assert said.code == 0
        assert "waiting: Azure DevOps: HTTP 503" in said.text

    def test_a_cancelled_job(self, azure: AzureServer, tmp_path: Path) -> None:
        azure.organisation.add_build()
        assert ask(azure, tmp_path, Waiting(cancel=True), wait=5).code == CancelledError.exit_code


def test_the_command_takes_everything_from_the_pipelines_variables(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (step_variables(azure.url, tmp_path) | {"SYSTEM_ACCESSTOKEN": TOKEN}).items():
        monkeypatch.setenv(name, value)
    before = os.environ.get("AZURE_DEVOPS_CACHE_DIR")
    signed_build(azure, proof)
    passed = kspsign("gate", folder=tmp_path)
    assert (passed.code, passed.report["passed"]) == (0, True)
    signed_build(azure, proof, "failed")
    refused: Run = kspsign("gate", folder=tmp_path)
    assert (refused.code, refused.report["passed"]) == (GateRefusedError.exit_code, False)
    assert "kspsign: the gate says no: build 4711 (step: " in refused.text
    assert os.environ.get("AZURE_DEVOPS_CACHE_DIR") == before
    monkeypatch.setenv("SYSTEM_ACCESSTOKEN", "of another organisation")
    assert kspsign("gate", folder=tmp_path).code == PrerequisiteError.exit_code


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "SYSTEM_ACCESSTOKEN"),
        ({"token_env": "MY_TOKEN"}, "--collection: missing; --project: missing; --build-id: missing"),
        ({"token_env": "MY_TOKEN", "collection": "x", "project": "y", "build_id": (0,)}, "--build-id: "),
        ({"token_env": "MY_TOKEN", "collection": "x", "project": "y", "build_id": ("a",)}, "--build-id: "),
    ],
    ids=str,
)
def test_what_is_missing_is_named(options: dict[str, Any], missing: str) -> None:
    with pytest.raises(KspSignError) as refused:
        resolve_gate(options, {"MY_TOKEN": TOKEN})
    assert refused.value.exit_code == 3
    assert missing in refused.value.message
    assert TOKEN not in refused.value.message
