"""Results in Azure DevOps itself: real runs with a token handed over, against the server on loopback."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.azure_devops import REPORT_TYPE, VERDICT_TYPE
from kspsign.publishing.evidence import ATTACHMENTS, DIGEST_PROPERTY
from kspsign.publishing.records import VERIFIED_TAG
from support.agent.commands import Command, parse
from support.azure_devops.server import TOKEN, AzureServer, Fault
from support.azure_devops.state import Build, TestRun
from support.azure_devops.uploads import step_variables, uploads
from support.launching import Launcher
from support.samples import Run, Store, copy_launcher, kspsign

HANGS = 60.0
"""Seconds that the server takes for an answer: no run of this file may wait for one."""


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureServer]:
    """The server with build 4711, in a step of which the test runs."""
    with AzureServer() as server:
        server.organisation.add_build()
        for name, value in step_variables(server.url, tmp_path / "temp").items():
            monkeypatch.setenv(name, value)
        (tmp_path / "temp").mkdir()
        monkeypatch.setenv("MY_TOKEN", TOKEN)
        yield server


@pytest.fixture
def folder(signed_launcher: bytes, tmp_path: Path) -> Path:
    """One signed program."""
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "good.exe").write_bytes(signed_launcher)
    return folder


def verify(folder: Path, store: Store, *more: str) -> Run:
    """Verify all programs and publish with the token."""
    options = ["--folder", folder, "--trust-root", store.root, "--publish-token-env", "MY_TOKEN", *more]
    return kspsign("verify", "*.exe", *options, folder=folder.parent)


def held(azure: AzureServer) -> tuple[Build, TestRun]:
    """What the server holds after one run."""
    (run,) = azure.organisation.runs.values()
    return azure.organisation.builds[4711], run


def told(run: Run) -> list[Command]:
    """The logging commands of a run."""
    return [command for line in run.text.splitlines() if (command := parse(line))]


def attached(run: Run, kind: str) -> bytes:
    """The attachment of that type."""
    (found,) = [upload.content for upload in uploads(run.text) if upload.kind == kind]
    return found


def test_a_run_with_its_report_its_digest_and_the_tag(azure: AzureServer, folder: Path, store: Store) -> None:
    verified = verify(folder, store)
    build, run = held(azure)
    assert verified.code == 0
    assert (run.created["name"], run.state) == ("Signature verification", "Completed")
    assert run.created["build"] == {"id": "4711"}
    (result,) = run.results
    assert (result["testCaseTitle"], result["outcome"]) == ("good.exe", "Passed")
    assert (result["automatedTestStorage"], "errorMessage" in result) == ("kspsign.pe", False)
    assert run.attached() == {"kspsign-report.json": verified.report}
    assert run.attached(result["id"]) == {"kspsign-verdict.json": verified.file}
    digest = hashlib.sha256(attached(verified, REPORT_TYPE)).hexdigest()
    assert build.properties == {DIGEST_PROPERTY: digest}
    assert json.loads(attached(verified, VERDICT_TYPE))["reportSha256"] == digest
    assert build.tags == [VERIFIED_TAG]


def test_the_agent_publishes_neither_results_nor_tag_a_second_time(
    azure: AzureServer, folder: Path, store: Store
) -> None:
    names = {command.name for command in told(verify(folder, store))}
    assert len(azure.organisation.runs) == 1
    assert "task.addattachment" in names
    assert names.isdisjoint({"results.publish", "build.addbuildtag"})


def test_without_a_token_the_agent_does_both(azure: AzureServer, folder: Path, store: Store) -> None:
    run = kspsign("verify", folder / "good.exe", "--trust-root", store.root, folder=folder.parent)
    names = [command.name for command in told(run)]
    assert names.count("results.publish") == names.count("build.addbuildtag") == 1
    assert azure.seen == []


def test_failures_have_cause_and_remedy_and_no_tag(azure: AzureServer, folder: Path, store: Store) -> None:
    copy_launcher(folder, to="unsigned.exe")
    verified = verify(folder, store)
    build, run = held(azure)
    assert verified.code == 2
    bad, good = run.results
    assert [bad["testCaseTitle"], good["testCaseTitle"]] == ["unsigned.exe", "good.exe"]
    assert bad["outcome"] == "Failed"
    assert bad["errorMessage"].startswith("TRUST_E_NOSIGNATURE (0x800B0100): ")
    assert bad["stackTrace"].startswith("remedy: ")
    assert set(run.attached(bad["id"])) == {"kspsign-verdict.json"}
    assert (build.tags, list(build.properties)) == ([], [DIGEST_PROPERTY])


def test_test_signing_is_marked_and_not_tagged(azure: AzureServer, folder: Path, store: Store) -> None:
    options = ["--thumbprint", store.thumbprint, "--store", store.folder, "--publish-token-env", "MY_TOKEN"]
    signed = kspsign("run", copy_launcher(folder), *options, folder=folder.parent)
    build, run = held(azure)
    assert signed.code == 0
    assert run.created["name"] == "Signature verification (TEST SIGNING)"
    assert build.tags == []


def test_a_run_that_was_stopped_is_a_result_too(azure: AzureServer, folder: Path, store: Store) -> None:
    (folder / "good.exe").unlink()
    assert verify(folder, store).code == 4
    build, run = held(azure)
    (result,) = run.results
    assert (result["testCaseTitle"], result["outcome"]) == ("kspsign verify", "Error")
    assert result["errorMessage"].startswith("NO_FILES_MATCHED: ")
    assert build.tags == []


def test_a_classic_release_gets_the_run(
    azure: AzureServer, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASE_RELEASEURI", "vstfs:///ReleaseManagement/Release/118")
    monkeypatch.setenv("RELEASE_ENVIRONMENTURI", "vstfs:///ReleaseManagement/Environment/134")
    verify(folder, store)
    created = held(azure)[1].created
    assert created["releaseUri"] == "vstfs:///ReleaseManagement/Release/118"
    assert created["releaseEnvironmentUri"] == "vstfs:///ReleaseManagement/Environment/134"


def test_only_so_many_results_get_an_attachment(azure: AzureServer, folder: Path, store: Store) -> None:
    for number in range(ATTACHMENTS):
        (folder / f"{number}.exe").write_bytes(b"MZ")
    verify(folder, store, "--quiet")
    _build, run = held(azure)
    assert len(run.results) == ATTACHMENTS + 1
    owners = {owner for owner, _name, _content in run.attachments if owner is not None}
    assert owners == {case["id"] for case in run.results[:ATTACHMENTS]}


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("/_apis", None),
        ("/Runs", None),
        ("/Results", "Aborted"),
        ("/Attachments", "Aborted"),
        ("/properties", "Completed"),
        ("/tags", "Completed"),
    ],
)
def test_evidence_that_could_not_be_left_fails_the_run(
    azure: AzureServer, folder: Path, store: Store, path: str, state: str | None
) -> None:
    azure.faults.append(Fault("status", 403, path=path))
    verified = verify(folder, store)
    assert verified.code == verified.report["exit_code"] == 5
    assert verified.report["passed"] is False
    assert verified.report["error"]["code"] == "AZURE_DEVOPS_FORBIDDEN"
    assert json.loads(attached(verified, VERDICT_TYPE))["result"] == "failed"
    names = [command.name for command in told(verified)]
    assert "build.addbuildtag" not in names
    assert "results.publish" in names
    assert any("the results could not be published" in command.data for command in told(verified))
    assert [run.state for run in azure.organisation.runs.values()] == ([state] if state else [])
    assert azure.organisation.builds[4711].tags == []
    assert TOKEN not in verified.text


def test_a_server_that_hangs_does_not_hold_up_a_cancelled_run(azure: AzureServer, folder: Path, store: Store) -> None:
    azure.faults.append(Fault("slow", seconds=HANGS, path="/Runs"))
    report = folder.parent / "report.json"
    options = ["--folder", str(folder), "--trust-root", str(store.root), "--publish-token-env", "MY_TOKEN"]
    with Launcher() as launcher:
        run = launcher.run(["verify", "*.exe", *options, "--report", str(report)], 3.0, number=signal.SIGINT)
    assert run.told is not None
    assert run.over - run.told < HANGS / 10
    written = json.loads(report.read_text(encoding="utf-8"))
    assert run.code == written["exit_code"] == 130
    assert written["error"]["code"] == "CANCELLED"
    assert [file["verdict"]["result"] for file in written["files"]] == ["verified"]


def test_a_failed_run_keeps_its_own_cause(azure: AzureServer, folder: Path, store: Store) -> None:
    copy_launcher(folder, to="unsigned.exe")
    azure.faults.append(Fault("status", 401))
    verified = verify(folder, store)
    assert verified.code == 2
    assert verified.report["error"]["code"] == "AZURE_DEVOPS_SIGN_IN"


def test_outside_a_pipeline_there_is_nothing_to_publish_to(
    azure: AzureServer, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUILD_BUILDID")
    verified = verify(folder, store)
    assert verified.code == 3
    assert "there is no build to publish the results to" in verified.report["error"]["message"]
    assert azure.seen == []


def test_a_token_that_is_not_there_stops_before_anything_is_done(
    azure: AzureServer, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_TOKEN")
    verified = verify(folder, store)
    assert verified.code == 3
    assert "MY_TOKEN (--publish-token-env) is not set" in verified.text
    assert verified.report == {}
    assert azure.seen == []
