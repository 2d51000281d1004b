"""What tab and hub say where Azure DevOps gives nothing that can be used: which call, the cause, what to do.

What is not known is an answer of its own, and no page stays blank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from playwright.sync_api import Browser, FrameLocator, expect

from kspsign.azure_devops import REPORT_TYPE, TASK_ID, VERDICT_TYPE
from kspsign.publishing.records import VERIFIED_TAG
from support.azure_devops.server import AzureServer, Fault
from support.azure_devops.state import Build
from support.ui.browser import Watched
from support.ui.host import BUILD, hosted
from support.ui.reports import report_of
from support.ui.uploads import upload

SIGN_IN = "Sign in to Azure DevOps again"
AGAIN = "Read again"
CONNECTION = "Check the connection"
REPORT_IT = "report it with this text"
OFTEN = 12
"""More than a browser asks for what it finds closed, or a page for what is busy."""
EXPOSED = ("Access-Control-Expose-Headers", "Retry-After")


@dataclass(frozen=True)
class Case:
    """What goes wrong, and the cause and the remedy that the page names."""

    fault: Fault
    cause: str
    remedy: str


EVERY_CALL = {
    "401": Case(Fault("status", 401), "does not accept this page's token (401)", SIGN_IN),
    "403": Case(Fault("status", 403), "you may not read it (403)", "permission View builds"),
    "404": Case(Fault("status", 404), "does not have it, or not any more (404)", "Retention deletes runs"),
    "400": Case(Fault("status", 400), "answered 400", REPORT_IT),
    "429 for long": Case(Fault("status", 429, (("Retry-After", "120"), EXPOSED)), "is busy (429)", "in 120 s"),
    "429 twice": Case(Fault("status", 429, (("Retry-After", "0"), EXPOSED)), "is busy (429)", "in 0 s"),
    "503 twice": Case(Fault("status", 503, (("Retry-After", "0"), EXPOSED)), "is busy (503)", "in 0 s"),
    "500": Case(Fault("status", 500), "failed (500)", "status.dev.azure.com"),
    "502": Case(Fault("html", 502), "failed (502)", "status.dev.azure.com"),
    "a page": Case(Fault("html", 200), "answered with a page", SIGN_IN),
    "a page by a proxy": Case(Fault("html", 203), "answered with a page", SIGN_IN),
    "a redirection": Case(Fault("status", 302, (("Location", "https://x.example/"),)), "answered with a page", SIGN_IN),
    "no connection": Case(Fault("drop"), "could not be reached", CONNECTION),
    "cut off": Case(Fault("cut"), "broke off or can't be unpacked", AGAIN),
    "not gzip": Case(
        Fault("body", headers=(("Content-Encoding", "gzip"),), content=b"{}"), "broke off or can't be unpacked", AGAIN
    ),
}
LISTS = {
    "no JSON": Case(Fault("body", content=b'{"value": ['), "the answer is not JSON", AGAIN),
    "no UTF-8": Case(Fault("body", content=b'{"value": ["\xff"]}'), "the answer is not JSON", AGAIN),
    "no content": Case(Fault("body"), "the answer is not JSON", AGAIN),
    **{
        f"another form {number}": Case(Fault("body", content=text), "the answer has another form", REPORT_IT)
        for number, text in enumerate((b"[]", b'"x"', b"{}", b'{"value": {}, "records": {}}'))
    },
    **{
        f"an entry of another form {number}": Case(
            Fault("body", content=b'{"id": "x", "value": [%s], "records": [%s]}' % (text, text)),
            "the answer has another form",
            REPORT_IT,
        )
        for number, text in enumerate((b"1", b"null", b"{}", b'{"id": {}, "name": "a"}'))
    },
}
SOME = {name: EVERY_CALL[name] for name in ("404", "a page", "a page by a proxy", "cut off", "not gzip")}
CALLS = {
    "/timeline": ("the timeline of run 4711", EVERY_CALL | LISTS),
    f"/attachments/{VERDICT_TYPE}": (f"the list of attachments {VERDICT_TYPE} of run 4711", SOME | LISTS),
    f"/attachments/{VERDICT_TYPE}/": (f"the attachment verdict.json ({VERDICT_TYPE}) of run 4711", SOME),
    f"/attachments/{REPORT_TYPE}": (f"the list of attachments {REPORT_TYPE} of run 4711", SOME),
    f"/attachments/{REPORT_TYPE}/": (f"the attachment report.json ({REPORT_TYPE}) of run 4711", SOME),
}
"""By a part of the call's path: what the page calls it, and what can go wrong."""


@pytest.fixture
def signed(azure: AzureServer) -> AzureServer:
    """A project with one run that signed."""
    build = azure.organisation.add_build(BUILD)
    build.status, build.result, build.finished = "completed", "succeeded", "2026-11-20T10:00:00Z"
    build.tags.append(VERIFIED_TAG)
    upload(build, build.add_step(build.add_job(), TASK_ID), report_of(3))
    return azure


def _shown(
    azure: AzureServer, watched: Watched, path: str, what: str, cases: dict[str, Case], passed: str
) -> dict[str, str]:
    """What the page says in each case, where that is not what it should; nothing of it may read as `passed`."""
    wrong = {}
    for name, case in cases.items():
        azure.faults.clear()
        azure.faults.extend([replace(case.fault, path=path)] * OFTEN)
        watched.page.reload()
        problem = watched.page.frame_locator("iframe").locator(".problem").first
        problem.wait_for()
        text = problem.inner_text()
        if not (what in text and case.cause in text and case.remedy in text and passed not in _all(watched)):
            wrong[name] = text
    return wrong


def _all(watched: Watched) -> str:
    return watched.page.frame_locator("iframe").locator("body").inner_text()


@pytest.mark.parametrize("path", CALLS)
def test_the_tab_says_which_call_failed_why_and_what_to_do(browser: Browser, signed: AzureServer, path: str) -> None:
    what, cases = CALLS[path]
    with hosted(browser, signed, "tab") as (watched, frame):
        expect(frame.locator("h1")).to_contain_text("passed")
        assert _shown(signed, watched, path, what, cases, "passed") == {}
        expect(frame.locator("h1")).to_have_text("The signatures of this run are not known")
        signed.faults.clear()
        frame.get_by_role("button", name="Read again").click()
        expect(frame.locator("h1")).to_contain_text("passed")
        assert not [fault for fault in watched.faults if "Uncaught" in fault or "TypeError" in fault]


def test_the_hub_says_which_list_failed_why_and_what_to_do(browser: Browser, signed: AzureServer) -> None:
    with hosted(browser, signed, "hub") as (watched, frame):
        expect(frame.locator(".builds .state")).to_have_text("✔ verified")
        assert _shown(signed, watched, "/build/builds", "the list of", EVERY_CALL | LISTS, "✔") == {}
        expect(frame.locator("h1")).to_have_text("The builds are not known")
        signed.faults.clear()
        frame.get_by_role("button", name="Read again").click()
        expect(frame.locator(".builds .state")).to_have_text("✔ verified")


def test_a_build_that_can_not_be_read_is_not_known_to_the_hub(browser: Browser, signed: AzureServer) -> None:
    path = f"/attachments/{REPORT_TYPE}/"
    what, cases = CALLS[path]
    with hosted(browser, signed, "hub") as (watched, frame):
        assert _shown(signed, watched, path, what, cases, "✔") == {}
        expect(frame.locator(".builds .state")).to_have_text("? not known")
        expect(frame.locator("figcaption").first).to_have_text("0 builds of 1 verified, 1 not known")
        signed.faults.clear()
        frame.get_by_role("button", name="Read again").click()
        expect(frame.locator(".builds .state")).to_have_text("✔ verified")


@pytest.mark.parametrize("page", ["tab", "hub"])
def test_a_service_that_is_silent_is_given_up(browser: Browser, signed: AzureServer, page: str) -> None:
    """The minute is not waited for: the browser's clock is put forward."""
    with hosted(browser, signed, page) as (watched, _frame):
        watched.page.clock.install()
        signed.faults.extend([Fault("slow", path="/build/builds", seconds=3)] * 4)
        watched.page.reload()
        frame = watched.page.frame_locator("iframe")
        expect(frame.get_by_role("status").first).to_contain_text("..")
        watched.page.wait_for_function("() => document.body.dataset.loaded === 'yes'")
        watched.page.clock.fast_forward(61_000)
        expect(frame.locator(".problem")).to_contain_text("Azure DevOps did not answer within 60 s")


@pytest.mark.parametrize("page", ["tab", "hub"])
@pytest.mark.parametrize("service", ["location-service", "tfs-page-data-service"])
def test_a_host_that_does_not_say_where_this_is(browser: Browser, signed: AzureServer, page: str, service: str) -> None:
    with hosted(browser, signed, page, without=service) as (watched, frame):
        expect(frame.locator("h1")).to_have_text("This page can't be opened")
        expect(frame.locator(".problem")).to_contain_text("the place of this page")
        expect(frame.locator(".problem")).to_contain_text("Remedy:")
        assert watched.page.locator("body").get_attribute("data-loaded") == "failed"


Change = Callable[[dict[str, object]], object]
_FILE: dict[str, object] = {"path": "a.dll", "outcome": "signed", "verdict": {"result": "verified", "checks": []}}
CHANGES: dict[str, Change] = {
    "passed": lambda report: report.update(passed="true"),
    "files": lambda report: report.update(files={"a.dll": _FILE}),
    "files[0]": lambda report: report.update(files=[None]),
    "files[0].path": lambda report: report.update(files=[{**_FILE, "path": 1}]),
    "files[0].verdict": lambda report: report.update(files=[{**_FILE, "verdict": "verified"}]),
    "files[0].verdict.checks[0].ok": lambda report: report.update(
        files=[{**_FILE, "verdict": {"result": "verified", "checks": [{"name": "digest", "ok": "no", "detail": ""}]}}]
    ),
    "files[0].signatures[0]": lambda report: report.update(files=[{**_FILE, "signatures": [None]}]),
    "files[0].signatures[0].thumbprint": lambda report: report.update(files=[{**_FILE, "signatures": [{}]}]),
    "files[0].error.message": lambda report: report.update(files=[{**_FILE, "error": {"code": "X"}}]),
    "files[0].seconds[0]": lambda report: report.update(files=[{**_FILE, "seconds": {"sign": {}}}]),
    "certificate.thumbprint": lambda report: report.update(certificate={}),
    "certificates[0]": lambda report: report.update(certificates=["x"]),
    "totals.signatures_used": lambda report: report.update(totals={"signatures_used": "many"}),
    "warnings[0]": lambda report: report.update(warnings=[7]),
    "limits.timestamp": lambda report: report.update(limits={"timestamp": 7}),
    "left_out.files[0].path": lambda report: report.update(left_out={"total": 1, "files": [{}]}),
    "build.id": lambda report: report.update(build={"id": 1}),
    "dry_run": lambda report: report.update(dry_run=1),
}
"""By the value that has another type."""


def _attach_again(build: Build, content: bytes) -> None:
    """Another report in the place of the one that is there, vouched for by its verdict."""
    for attachment in build.attachments:
        if attachment.kind == REPORT_TYPE:
            attachment.content = content
    for attachment in build.attachments:
        if attachment.kind == VERDICT_TYPE:
            verdict = json.loads(attachment.content) | {"reportSha256": hashlib.sha256(content).hexdigest()}
            attachment.content = json.dumps(verdict).encode()


def test_a_report_of_other_types_is_named_and_never_passes(browser: Browser, signed: AzureServer) -> None:
    build = signed.organisation.builds[BUILD]
    good = next(attachment.content for attachment in build.attachments if attachment.kind == REPORT_TYPE)
    wrong: dict[str, tuple[str, str]] = {}
    with hosted(browser, signed, "hub") as (hub, hub_frame), hosted(browser, signed, "tab") as (tab, tab_frame):
        expect(hub_frame.locator(".builds .state")).to_have_text("✔ verified")
        for name, change in CHANGES.items():
            report = json.loads(good)
            change(report)
            _attach_again(build, json.dumps(report).encode())
            said, state = _told(tab, tab_frame), _state(hub, hub_frame)
            if f"its value {name} is of a type" not in said or state != "? not known":
                wrong[name] = said, state
        assert wrong == {}
        assert [*hub.faults, *tab.faults] == []


def _told(watched: Watched, frame: FrameLocator) -> str:
    watched.page.reload()
    frame.locator("table.gate").wait_for()
    assert "Signatures passed" not in _all(watched)
    return frame.locator(".problem").inner_text()


def _state(watched: Watched, frame: FrameLocator) -> str:
    watched.page.reload()
    return frame.locator(".builds .state").inner_text()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        (VERDICT_TYPE, b'{"schema": "kspsi', "the verdict is not a JSON object: it is damaged or cut off"),
        (VERDICT_TYPE, b"[]", "the verdict is not a JSON object"),
        (REPORT_TYPE, b'{"schema": "kspsi', "its SHA-256 is not the one in the verdict: it was changed or cut off"),
    ],
)
def test_an_attachment_that_was_cut_off(
    browser: Browser, signed: AzureServer, kind: str, content: bytes, words: str
) -> None:
    for attachment in signed.organisation.builds[BUILD].attachments:
        if attachment.kind == kind:
            attachment.content = content
    with hosted(browser, signed, "tab") as (watched, frame):
        frame.locator("table.gate").wait_for()
        expect(frame.locator(".problem")).to_contain_text(words)
        expect(frame.locator(".problem")).to_contain_text("Do not release what this run signed")
        assert "Signatures passed" not in _all(watched)
