"""The tab Signatures in a real browser, within a host that speaks the SDK's protocol: what it shows of a run, and that
it judges as the gate does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, expect

from kspsign.azure_devops import DEV_TASK_ID, REPORT_TYPE, TASK_ID, VERDICT_TYPE
from kspsign.model.report import Report
from support.azure_devops.server import AzureServer, Fault
from support.azure_devops.state import Build
from support.azure_devops.uploads import Upload
from support.gate_asking import add_job, ask, attach, signed_build
from support.places import ROOT
from support.ui.host import hosted
from support.ui.reports import hostile_report, report_of
from support.ui.uploads import upload

OTHER_TASK = "6d15af64-176c-496d-b583-fd2ae21d4df4"
Situation = Callable[[AzureServer, tuple[Upload, ...]], None]


def build_with(azure: AzureServer, report: Report, *, result: str = "succeeded") -> Build:
    """A build whose one job attached `report`."""
    build = azure.organisation.add_build()
    upload(build, build.add_step(build.add_job(), TASK_ID, result=result), report)
    return build


def shown_checks(frame: FrameLocator) -> list[tuple[str, bool]]:
    """The checks of the gate as the tab shows them, once they are there."""
    frame.locator("table.gate").wait_for()
    rows = frame.locator("table.gate tbody tr").all()
    return [(row.get_attribute("data-check") or "", row.get_attribute("data-ok") == "true") for row in rows]


class TestView:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize(("files", "failures"), [(1, 0), (40, 7), (10_000, 3)], ids=str)
    def test_a_run_is_shown_in_the_colours_of_the_host(
        self, browser: Browser, azure: AzureServer, files: int, failures: int, *, dark: bool
    ) -> None:
        build_with(azure, report_of(files, failures), result="failed" if failures else "succeeded")
        with hosted(browser, azure, "tab", dark=dark) as (watched, frame):
            expect(frame.locator("h1")).to_contain_text("failed" if failures else "passed", timeout=30_000)
            expect(frame.locator("html")).to_have_attribute("data-theme", "dark" if dark else "light")
            assert dict(shown_checks(frame))["step"] is not bool(failures)
            assert watched.serious_faults() == []
            assert watched.page.locator("body").get_attribute("data-loaded") == "yes"
            assert watched.faults == []

    def test_only_reading_is_asked_and_every_request_has_the_token(self, browser: Browser, azure: AzureServer) -> None:
        build_with(azure, report_of(1))
        with hosted(browser, azure, "tab") as (_watched, frame):
            shown_checks(frame)
        assert {seen.method for seen in azure.seen} == {"GET"}
        assert all(seen.authorization.startswith("Bearer ") for seen in azure.seen)
        assert len(azure.seen) == 5  # timeline, two lists, verdict, report

    def test_several_jobs_are_one_list(self, browser: Browser, azure: AzureServer) -> None:
        build = azure.organisation.add_build()
        for name in ("Windows", "Linux"):
            upload(build, build.add_step(build.add_job(name), TASK_ID), report_of(3))
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator(".counts")).to_have_text("6 files: 6 signed; 6 verified")
            names = frame.locator(".row .name").all_inner_texts()
            assert [name.split("/")[0] for name in names if "/" in name] == ["Linux", "Windows"]

    def test_a_hostile_report_is_text(self, browser: Browser, azure: AzureServer) -> None:
        build_with(azure, hostile_report(5000), result="failed")
        with hosted(browser, azure, "tab") as (watched, frame):
            shown_checks(frame)
            assert frame.locator("main img, main script").count() == 0
            assert frame.locator("html").evaluate("() => window.hacked === undefined")
            assert watched.faults == []


class TestPlainWords:
    def test_none(self, browser: Browser, azure: AzureServer) -> None:
        azure.organisation.add_build()
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator("h1")).to_have_text("No signatures were recorded")
            assert not all(ok for _name, ok in shown_checks(frame))

    def test_of_an_earlier_attempt(self, browser: Browser, azure: AzureServer) -> None:
        build = build_with(azure, report_of(1))
        build.retry()
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator("h1")).to_have_text("This attempt recorded no signatures yet")

    def test_forged(self, browser: Browser, azure: AzureServer) -> None:
        build = azure.organisation.add_build()
        upload(build, build.add_step(build.add_job(), OTHER_TASK, name="<b>mine</b>"), report_of(40))
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator("h1")).to_have_text("Not from the KspSign task")
            expect(frame.locator(".problem")).to_contain_text("<b>mine</b>")
            assert frame.locator(".tree").count() == 0
        assert not any("attachments/kspsign.verdict/" in seen.path for seen in azure.seen), "it is not even read"

    def test_of_another_version(self, browser: Browser, azure: AzureServer) -> None:
        build = build_with(azure, report_of(1))
        content = json.dumps({"schema": "kspsign.report/9", "files": []}).encode()
        for attachment in build.attachments:
            if attachment.kind == REPORT_TYPE:
                attachment.content = content
            else:
                verdict = json.loads(attachment.content) | {"reportSha256": hashlib.sha256(content).hexdigest()}
                attachment.content = json.dumps(verdict).encode()
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator("h1")).to_have_text("A report can't be shown")
            expect(frame.locator(".problem")).to_contain_text("kspsign.report/9")

    def test_a_busy_service_is_asked_once_more(self, browser: Browser, azure: AzureServer) -> None:
        build_with(azure, report_of(1))
        azure.faults.append(Fault("status", 429, (("Retry-After", "0"),), "timeline"))
        with hosted(browser, azure, "tab") as (_watched, frame):
            expect(frame.locator("h1")).to_contain_text("passed")


def test_the_dev_variant_looks_for_its_own_task(browser: Browser, azure: AzureServer) -> None:
    build = azure.organisation.add_build()
    upload(build, build.add_step(build.add_job(), DEV_TASK_ID), report_of(1))
    with hosted(browser, azure, "tab", extension="kspsign-dev") as (_watched, frame):
        expect(frame.locator("h1")).to_contain_text("passed")
    source = (ROOT / "task" / "ui" / "src" / "service" / "tasks.ts").read_text(encoding="utf-8")
    assert {TASK_ID, DEV_TASK_ID} <= set(source.replace('"', " ").split())


def changed(**changes: Any) -> Situation:
    return lambda azure, proof: _of(signed_build(azure, proof, **changes))


def _of(_build: Build) -> None:
    """A situation is what it leaves in the organisation."""


def _nothing(azure: AzureServer, _proof: tuple[Upload, ...]) -> None:
    build = azure.organisation.add_build()
    build.add_step(add_job(build), TASK_ID)


def _forged(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = azure.organisation.add_build()
    job = add_job(build)
    build.add_step(job, TASK_ID)
    attach(build, build.add_step(job, OTHER_TASK), proof)


def _earlier(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = signed_build(azure, proof)
    build.retry()
    build.add_step(add_job(build, attempt=2), TASK_ID)


def _attached_again(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = azure.organisation.add_build()
    attach(build, build.add_step(add_job(build, attempt=2), TASK_ID), proof)


def _other_step_failed(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = signed_build(azure, proof)
    build.add_step(build.records[0], TASK_ID, result="succeededWithIssues")


def _changed_report(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = signed_build(azure, proof)
    next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).content += b" "


def _reports_of_another_step(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    build = signed_build(azure, proof)
    other = build.add_step(build.records[0], OTHER_TASK)
    next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).record_id = other["id"]


def _nonsense(content: bytes) -> Situation:
    def situation(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
        build = signed_build(azure, proof)
        next(attachment for attachment in build.attachments if attachment.kind == VERDICT_TYPE).content = content

    return situation


def _proves_nothing(azure: AzureServer, proof: tuple[Upload, ...]) -> None:
    content = json.dumps({"schema": "kspsign.report/1", "passed": True, "files": [1, {"verdict": 2}]}).encode()
    build = signed_build(azure, proof, reportSha256=hashlib.sha256(content).hexdigest())
    next(attachment for attachment in build.attachments if attachment.kind == REPORT_TYPE).content = content


SITUATIONS: dict[str, Situation] = {
    "proved": changed(),
    "nothing": _nothing,
    "forged": _forged,
    "earlier attempt": _earlier,
    "attached again": _attached_again,
    "step failed": changed(ended="failed"),
    "step cancelled": changed(ended="canceled"),
    "other step failed": _other_step_failed,
    "report changed": _changed_report,
    "report of another step": _reports_of_another_step,
    "report proves nothing": _proves_nothing,
    **{f"content {number}": _nonsense(content) for number, content in enumerate((b"", b"[]", b"no", b"\xff"))},
    **{
        f"verdict {changes}": changed(**changes)
        for changes in (
            {"total": 0, "verified": 0},
            {"result": "failed", "failed": 1},
            {"total": True, "verified": True},
            {"failed": None},
            {"buildId": "4712"},
            {"buildId": 4711},
            {"jobId": OTHER_TASK},
            {"attempt": True},
            {"attempt": 1.5},
            {"attempt": 1.0},
            {"attempt": "1"},
            {"schema": "kspsign.verdict/9"},
            {"testSigning": True},
            {"testSigning": "no"},
            {"reportSha256": "0" * 64},
            {"reportSha256": None},
        )
    },
}


def test_the_tab_decides_as_the_gate_does(
    browser: Browser, azure: AzureServer, proof: tuple[Upload, ...], tmp_path: Path
) -> None:
    """The same recorded cases, one after the other in one page, judged by both."""
    with hosted(browser, azure, "tab") as (watched, _frame):
        differing = {}
        for name, situation in SITUATIONS.items():
            azure.organisation.builds.clear()
            situation(azure, proof)
            by_gate = _gate_checks(azure, tmp_path)
            watched.page.reload()
            by_tab = shown_checks(watched.page.frame_locator("iframe"))
            if by_tab != by_gate:
                differing[name] = (by_tab, by_gate)
    assert differing == {}


def _gate_checks(azure: AzureServer, folder: Path) -> list[tuple[str, bool]]:
    """The checks of `kspsign gate`, but for the build's own result, which the tab's page shows anyway."""
    report = folder / "gate.json"
    ask(azure, folder, report=report)
    (subject,) = json.loads(report.read_text(encoding="utf-8"))["subjects"]
    return [(check["name"], check["ok"]) for check in subject["checks"] if check["name"] != "build"]
