"""`kspsign gate` against Azure DevOps on loopback: what real runs left behind, and everything that may be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from kspsign.azure_devops import DEV_TASK_ID, REPORT_TYPE, TASK_ID, VERDICT_TYPE
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.uploads import Upload, step_variables, uploads
from support.gate_asking import Asked, add_job, ask, attach, signed_build
from support.places import ROOT
from support.samples import Store, kspsign

OTHER_TASK = "6d15af64-176c-496d-b583-fd2ae21d4df4"
TASK_JSON = ROOT / "task" / "KspSign" / "task.json"


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
            ({"jobId": OTHER_TASK}, ("identity",)),
            ({"attempt": True}, ("identity",)),
            ({"attempt": 1.5}, ("identity",)),
            ({"attempt": 1.0}, ("identity",)),
            ({"attempt": "1"}, ("identity",)),
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
        next(attachment for attachment in build.attachments if attachment.kind == VERDICT_TYPE).content = content
        self.refused(ask(azure, tmp_path), "identity", "result", "keys", "report")

    def test_a_report_that_was_changed(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        build = signed_build(azure, proof)
        next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).content += b" "
        said = ask(azure, tmp_path)
        self.refused(said, "report")
        assert "its SHA-256 is not the one in the verdict" in said.error

    def test_a_report_that_another_step_attached(
        self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
    ) -> None:
        build = signed_build(azure, proof)
        other = build.add_step(build.records[0], OTHER_TASK)
        next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).record_id = other["id"]
        self.refused(ask(azure, tmp_path), "report")

    def test_a_report_that_proves_nothing(self, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path) -> None:
        content = json.dumps({"schema": "kspsign.report/1", "passed": True, "files": [1, {"verdict": 2}]}).encode()
        build = signed_build(azure, proof, reportSha256=hashlib.sha256(content).hexdigest())
        next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).content = content
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


@pytest.mark.parametrize(
    ("stated", "passes"),
    [
        ({"name": "release", "sha256": hashlib.sha256(b"name: release\n").hexdigest()}, True),
        ({"name": "release", "sha256": "0" * 64}, False),
        ({"name": "release"}, False),
        ("release", False),
        (None, False),
    ],
    ids=str,
)
def test_the_policy_that_judged_the_files(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path, stated: Any, passes: bool
) -> None:
    """The file's line ends do not count; a report that names no policy, or none at all, is a no."""
    report = next(json.loads(upload.content) for upload in proof if upload.kind == REPORT_TYPE) | {"policy": stated}
    content = json.dumps(report).encode()
    build = signed_build(azure, proof, reportSha256=hashlib.sha256(content).hexdigest())
    next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).content = content
    (tmp_path / "release.yml").write_bytes(b"name: release\r\n")
    by_file = ask(azure, tmp_path, policy=str(tmp_path / "release.yml"))
    by_digest = ask(azure, tmp_path, policy_sha256=hashlib.sha256(b"name: release\n").hexdigest().upper())
    assert (by_file.code, by_digest.code) == ((0, 0) if passes else (7, 7))
    assert ("policy: " in by_file.error) is not passes
    assert ask(azure, tmp_path).code == 0


def test_a_real_verification_by_a_policy_is_what_the_gate_asks_for(
    azure: AzureServer, store: Store, signed_launcher: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the release stage: `verify --policy` from a protected place, then the gate with the same file."""
    policy, other = tmp_path / "release.yml", tmp_path / "other.yml"
    policy.write_text("name: release\nsigned:\n  files: ['*.exe']\n", encoding="utf-8")
    other.write_text("name: release\n", encoding="utf-8")
    (tmp_path / "app.exe").write_bytes(signed_launcher)
    for name, value in step_variables("https://example.org/Contoso", tmp_path / "temp").items():
        monkeypatch.setenv(name, value)
    chosen = ("--policy", policy, "--trust-root", store.root, "--folder", tmp_path)
    run = kspsign("verify", "app.exe", *chosen, folder=tmp_path)
    assert run.code == 0, run.text
    signed_build(azure, tuple(uploads(run.text)))
    assert ask(azure, tmp_path, policy=str(policy)).code == 0
    assert ask(azure, tmp_path, policy=str(other)).code == 7


def test_a_policy_that_can_not_be_read_asks_nobody(azure: AzureServer, tmp_path: Path) -> None:
    missing = ask(azure, tmp_path, policy=str(tmp_path / "none.yml"))
    assert (missing.code, "none.yml" in missing.error) == (3, True)
    assert ask(azure, tmp_path, policy="x", policy_sha256="0" * 64).code == 3
    assert ask(azure, tmp_path, policy_sha256="12").code == 3
    assert azure.seen == []


def test_each_variant_of_the_extension_passes_its_own_builds_only(
    azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
) -> None:
    signed_build(azure, proof)
    assert ask(azure, tmp_path, variant="dev").code == 7
    build = azure.organisation.add_build()
    attach(build, build.add_step(add_job(build), DEV_TASK_ID), proof)
    assert (ask(azure, tmp_path).code, ask(azure, tmp_path, variant="dev").code) == (7, 0)
    build.add_step(build.records[0], DEV_TASK_ID, result="failed")
    assert ask(azure, tmp_path, variant="dev").code == 7


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
