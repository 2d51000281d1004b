"""The hub Signing in a real browser: builds of a project over time, by few requests that only read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect

from kspsign.azure_devops import TASK_ID
from kspsign.model.report import Report
from kspsign.publishing.evidence import DIGEST_PROPERTY
from kspsign.publishing.records import VERIFIED_TAG
from support.azure_devops.server import AzureServer, Fault
from support.places import ROOT
from support.ui.host import hosted
from support.ui.reports import LEAF, report_of
from support.ui.uploads import upload

RENEWED = "F6" * 20
NEWEST = datetime.fromisoformat("2026-11-20T10:00:00+00:00")


def add_build(
    azure: AzureServer, number: int, report: Report | None, *, pipeline: str = "Release", days: int = 0
) -> None:
    """A completed build of `days` before the newest, with what its signing step left."""
    build = azure.organisation.add_build(number)
    build.status, build.pipeline, build.definition = "completed", pipeline, sum(pipeline.encode())
    build.finished = f"{NEWEST - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    build.result = "succeeded" if report is None or report.passed else "failed"
    if report is None:
        return
    upload(build, build.add_step(build.add_job(), TASK_ID, result=build.result), report)
    if report.passed:
        build.tags.append(VERIFIED_TAG)


def renewed(report: Report) -> Report:
    """The report of a run that signed with the certificate that follows."""
    (certificate,) = (certificate for certificate in report.certificates if certificate.thumbprint == LEAF)
    successor = replace(certificate, thumbprint=RENEWED, not_after="2028-02-01T00:00:00Z")
    files = tuple(
        replace(file, signatures=tuple(replace(signature, thumbprint=RENEWED) for signature in file.signatures))
        for file in report.files
    )
    assert report.certificate is not None
    own = replace(report.certificate, thumbprint=RENEWED, not_after=successor.not_after)
    return replace(report, files=files, certificate=own, certificates=(*report.certificates, successor))


@pytest.fixture
def project(azure: AzureServer) -> AzureServer:
    """A project with four builds that signed, one of which failed, and one that signs nothing."""
    add_build(azure, 1, report_of(40), days=60)
    add_build(azure, 2, report_of(40, 7), days=30)
    add_build(azure, 3, renewed(report_of(5)), days=1)
    add_build(azure, 4, report_of(3), pipeline="Tools")
    add_build(azure, 5, None, pipeline="Website")
    return azure


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_shows_builds_certificates_and_causes(browser: Browser, project: AzureServer, *, dark: bool) -> None:
    with hosted(browser, project, "hub", dark=dark) as (watched, frame):
        expect(frame.get_by_role("status").first).to_have_text("4 builds of 4 read")
        builds = [
            row.split("\t")[0:1] + row.split("\t")[2:] for row in frame.locator(".builds tbody tr").all_inner_texts()
        ]
        assert builds == [
            ["Tools 2026.4", "✔ verified", "3", "0", "3"],
            ["Release 2026.3", "✔ verified", "5", "0", "5"],
            ["Release 2026.2", "✖ failed", "40", "7", "33"],
            ["Release 2026.1", "✔ verified", "40", "0", "40"],
        ]
        certificates = [row.split("\t") for row in frame.locator(".certificates tbody tr").all_inner_texts()]
        assert [(row[1], row[4][:40], row[5]) for row in certificates] == [
            (LEAF, RENEWED, "3"),
            (RENEWED, "none used yet", "1"),
        ]
        spent = frame.get_by_label("Signatures spent").locator("tbody tr").all_inner_texts()
        assert [row.split("\t") for row in spent] == [["Release", "40", "33", "5"], ["Tools", "0", "0", "3"]]
        causes = frame.get_by_label("Failing causes").locator("tbody tr").all_inner_texts()
        assert causes[0].split("\t") == ["TRUST_E_BAD_DIGEST", "3"]
        assert watched.serious_faults() == []
        assert watched.faults == []


def test_files_are_found_across_builds(browser: Browser, project: AzureServer) -> None:
    with hosted(browser, project, "hub") as (_watched, frame):
        expect(frame.get_by_role("status").first).to_have_text("4 builds of 4 read")
        for words, found in (("module02", "4 files"), (RENEWED.lower(), "5 files"), ("no-such-file", "0 files")):
            frame.get_by_role("searchbox").fill(words)
            expect(frame.get_by_role("status").nth(1)).to_have_text(found)
        sha256 = report_of(3).files[2].sha256_after
        frame.get_by_role("searchbox").fill(str(sha256))
        expect(frame.get_by_role("status").nth(1)).to_have_text("4 files")
        link = frame.locator(".hits a").first
        assert str(link.get_attribute("href")).endswith("/_build/results?buildId=4")


def test_the_requests_are_few_and_none_is_made_twice(browser: Browser, project: AzureServer) -> None:
    for number in range(10, 40):
        add_build(project, number, report_of(1), days=number + 60)
    with hosted(browser, project, "hub") as (_watched, frame):
        expect(frame.get_by_role("status").first).to_contain_text("25 builds of 34 read")
        frame.get_by_role("button", name="Read 25 more").click()
        expect(frame.get_by_role("status").first).to_have_text("34 builds of 34 read")
    asked = Counter(seen.path for seen in project.seen)
    assert {seen.method for seen in project.seen} == {"GET"}
    lists = [path for path in asked if path.endswith("/_apis/build/builds")]
    assert [asked[path] for path in lists] == [2]
    assert max(number for path, number in asked.items() if path not in lists) == 1
    assert sum(asked.values()) == 2 + 5 * 34


def test_a_failed_build_is_found_by_the_property(browser: Browser, azure: AzureServer) -> None:
    add_build(azure, 1, report_of(3, 1))
    azure.organisation.builds[1].properties[DIGEST_PROPERTY] = "00" * 32
    with hosted(browser, azure, "hub") as (_watched, frame):
        expect(frame.locator(".builds .state")).to_have_text("✖ failed")


def test_a_forged_verdict_is_not_a_verdict(browser: Browser, azure: AzureServer) -> None:
    build = azure.organisation.add_build(1)
    build.status, build.finished, build.tags = "completed", "2026-11-20T10:00:00Z", [VERIFIED_TAG]
    upload(build, build.add_step(build.add_job(), None), report_of(3))
    with hosted(browser, azure, "hub") as (_watched, frame):
        expect(frame.locator(".builds .state")).to_have_text("✖ not from our task")
        assert frame.locator(".certificates").count() == 0


def test_no_build_and_one_that_cannot_be_read_are_said(browser: Browser, azure: AzureServer) -> None:
    with hosted(browser, azure, "hub") as (watched, frame):
        expect(frame.locator("h1")).to_have_text("No build has signed yet")
        add_build(azure, 1, report_of(1))
        add_build(azure, 2, report_of(1))
        azure.faults.append(Fault("status", 403, path="/builds/2/timeline"))
        watched.page.reload()
        expect(frame.locator(".problem")).to_contain_text("the timeline of run 2: you may not read it (403)")
        rows = frame.locator(".builds tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.filter(has_text="2026.2")).to_contain_text("? not known")
        expect(frame.locator("figcaption").first).to_have_text("1 build of 2 verified, 1 not known")


def test_the_extension_asks_for_nothing_but_reading_builds() -> None:
    manifest = (ROOT / "vss-extension.json").read_text(encoding="utf-8")
    assert '"scopes": ["vso.build"]' in manifest
