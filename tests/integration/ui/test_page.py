"""The HTML page of --html in a real browser: what it shows, how it is used, and that no report can make it run code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from kspsign.model.report import Report
from kspsign.model.run_facts import InsideFacts
from kspsign.publishing.page import page_around, page_pieces
from kspsign.publishing.report_file import report_text
from support.azure_devops.uploads import step_variables
from support.samples import Store, kspsign
from support.ui.browser import Watched, opened, watched
from support.ui.reports import hostile_report, report_of

FRESH = "window.hacked === undefined"


@pytest.fixture
def forty(browser: Browser, tmp_path: Path) -> Iterator[Watched]:
    """The page of forty files, seven of which failed for three causes."""
    with opened(browser, written(report_of(40, 7), tmp_path)) as page:
        yield page


def written(report: Report, folder: Path) -> Path:
    """The page of `report` on disk."""
    path = folder / "signatures.html"
    path.write_text("".join(page_pieces(report)), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("files", "failures", "verdict"),
    [
        (0, 0, "no file was processed"),
        (1, 0, "1 file: 1 signed; 1 verified"),
        (1, 1, "1 file: 1 failed; 0 verified"),
        (40, 7, "40 files: 33 signed, 7 failed; 33 verified"),
        (10_000, 0, "10,000 files: 10,000 signed; 10,000 verified"),
    ],
    ids=["none", "one", "one-failed", "forty", "ten-thousand"],
)
def test_every_size_is_shown_without_a_request_or_a_serious_fault(
    browser: Browser, tmp_path: Path, files: int, failures: int, verdict: str, *, dark: bool
) -> None:
    path = written(report_of(files, failures), tmp_path)
    with opened(browser, path, dark=dark) as page:
        assert page.text(".counts") == verdict
        assert page.text("h1").endswith("passed" if files and not failures else "failed")
        assert page.page.locator("html").get_attribute("data-theme") == ("dark" if dark else "light")
        assert page.page.locator(".row").count() < 60
        assert page.serious_faults() == []
        assert (page.faults, page.requests) == ([], [path.as_uri()])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real run left, with report and page."""
    folder = tmp_path_factory.mktemp("demo")
    assert kspsign("demo", folder / "demo", folder=folder, reported=False).code == 0
    return folder / "demo"


def test_the_page_of_a_real_run_shows_its_files_and_their_checks(browser: Browser, demo: Path) -> None:
    report = json.loads((demo / "report.json").read_text(encoding="utf-8"))
    with opened(browser, demo / "signatures.html") as page:
        assert page.text(".counts") == "14 files: 14 signed; 14 verified"
        assert page.text(".test-signing").startswith("TEST SIGNING")
        page.page.get_by_role("treeitem", name="t64.exe").click()
        (file,) = [file for file in report["files"] if file["path"].endswith("/t64.exe")]
        assert file["sha256_after"] in page.text(".details .facts").replace("\n", "")
        shown = page.page.locator(".checks tbody tr").all_inner_texts()
        assert [row.split("\t")[0] for row in shown] == [check["name"] for check in file["verdict"]["checks"]]
        chain = page.page.locator(".signature .chain li").all_inner_texts()
        assert [row.split()[0] for row in chain] == ["publisher", "issuer", "root"]
        assert page.page.locator(".timeline polygon").count() == 4
        assert page.faults == []


def test_the_report_says_what_the_page_draws(demo: Path) -> None:
    """Of a real run: the chain of each signature and timestamp, and when work on each file began."""
    report = json.loads((demo / "report.json").read_text(encoding="utf-8"))
    known = {certificate["thumbprint"]: certificate for certificate in report["certificates"]}
    signature = report["files"][0]["signatures"][0]
    for leaf in (signature["thumbprint"], signature["timestamp"]["thumbprint"]):
        chain = [known[leaf]]
        while chain[-1]["issuer"] is not None:
            chain.append(known[chain[-1]["issuer"]])
        assert chain[-1]["thumbprint"] == report["trust"]["named"][0]["thumbprint"]
        assert all(certificate["not_before"] < report["finished"] < certificate["not_after"] for certificate in chain)
    assert all(0 <= file["began"] < 60 for file in report["files"])
    assert report["limits"]["key_store"]["curve"][0]["at"] == 0
    assert report["limits"]["key_store"]["began"] >= report["started"][:-1]


def test_the_agent_uploads_the_page_with_the_results(
    store: Store, signed_launcher: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a copy in a folder of the step alone: no later step can change it."""
    (tmp_path / "app.exe").write_bytes(signed_launcher)
    for name, value in step_variables("https://example.org/Contoso", tmp_path / "temp").items():
        monkeypatch.setenv(name, value)
    page = tmp_path / "signatures.html"
    run = kspsign("verify", tmp_path / "app.exe", "--trust-root", store.root, "--html", page, folder=tmp_path)
    assert run.code == 0
    (uploaded,) = re.findall(r"##vso\[task\.uploadfile\](.*signatures-.*\.html)", run.text)
    assert Path(uploaded).read_bytes() == page.read_bytes()
    assert Path(uploaded) != page


class TestFailures:
    def test_they_come_first_once_for_each_cause_with_the_remedy(self, forty: Watched) -> None:
        headings = forty.page.locator(".causes h3").all_inner_texts()
        assert headings == [
            "3 files: TRUST_E_BAD_DIGEST (0x80096010)",
            "2 files: ERROR_SHARING_VIOLATION (0x80070020)",
            "2 files: KEYLOCKER_THROTTLED",
        ]
        assert "Sign the file after its last change" in forty.text(".causes .remedy")

    def test_a_cause_is_copied_with_all_of_its_files(self, forty: Watched) -> None:
        forty.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        forty.page.get_by_role("button", name="Copy cause and files").first.click()
        forty.page.get_by_role("status").filter(has_text="Copied").wait_for()
        lines = str(forty.page.evaluate("navigator.clipboard.readText()")).splitlines()
        assert lines[0].startswith("TRUST_E_BAD_DIGEST: ")
        assert lines[1].startswith("remedy: Sign the file")
        assert lines[2:] == [f"product/component0000/module{number}" for number in ("00.exe", "03.ps1", "06.dll")]

    def test_the_files_of_a_cause_are_listed_alone(self, forty: Watched) -> None:
        forty.page.get_by_role("button", name="Show these files").nth(2).click()
        forty.page.get_by_role("status").filter(has_text="2 of 40 files").wait_for()
        assert forty.page.locator(".row .name").all_inner_texts() == [
            "product/component0000",
            "module02.msi",
            "module05.exe",
        ]


class TestFilters:
    @pytest.mark.parametrize(
        ("label", "value", "shown"),
        [("Outcome", "failed", "7 of 40 files"), ("Format", "msi", "8 of 40 files")],
    )
    def test_by_choice(self, forty: Watched, label: str, value: str, shown: str) -> None:
        forty.page.get_by_role("combobox", name=label).select_option(value)
        forty.page.get_by_role("status").filter(has_text=shown).wait_for()

    def test_by_name_digest_and_thumbprint(self, forty: Watched) -> None:
        for words, shown in (
            ("module1", "10 of 40 files"),
            ("A1A1A1A1", "33 of 40 files"),
            ("nothing-like-it", "0 of 40"),
        ):
            forty.page.get_by_role("searchbox").fill(words)
            forty.page.get_by_role("status").filter(has_text=shown).wait_for()
        assert forty.text(".tree.empty") == "No file."

    def test_by_the_legend_of_the_outcomes(self, forty: Watched) -> None:
        button = forty.page.get_by_role("button", name="33 signed")
        button.click()
        forty.page.get_by_role("status").filter(has_text="33 of 40 files").wait_for()
        assert button.get_attribute("aria-pressed") == "true"


def test_the_keyboard_alone_reaches_a_file_and_its_details(forty: Watched) -> None:
    keyboard = forty.page.keyboard
    for _ in range(40):
        keyboard.press("Tab")
        if forty.page.evaluate("document.activeElement.getAttribute('role')") == "tree":
            break
    tree = forty.page.get_by_role("tree")
    assert tree.evaluate("tree => tree === document.activeElement")
    keyboard.press("ArrowLeft")
    assert forty.page.get_by_role("treeitem").count() == 1
    keyboard.press("ArrowRight")
    keyboard.press("End")
    keyboard.press("Enter")
    assert forty.text(".details h3") == "product/component0000/module39.cab"
    keyboard.press("Home")
    keyboard.press("ArrowDown")
    # A row that was out of sight is there, and named by the tree, once it was drawn.
    forty.page.wait_for_function(
        "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))"
        "?.innerText.startsWith('module00.exe')"
    )
    active = tree.get_attribute("aria-activedescendant")
    assert forty.page.locator(f"#{active}").get_attribute("aria-level") == "2"


def test_a_container_shows_what_it_holds(browser: Browser, tmp_path: Path) -> None:
    names = ("out/app.msix", "out/app.msix/lib/a.dll", "out/app.msix/app.exe")
    report = report_of(3)
    files = tuple(
        replace(file, path=name, inside=InsideFacts(2, 3, 4, "a nested CAB") if name.endswith(".msix") else None)
        for file, name in zip(report.files, names, strict=True)
    )
    with opened(browser, written(replace(report, files=files), tmp_path)) as page:
        rows = page.page.get_by_role("treeitem")
        assert [row.split("\n")[0] for row in page.page.locator(".row .name").all_inner_texts()] == [
            "out",
            "app.msix",
            "app.exe",
            "lib",
            "a.dll",
        ]
        rows.filter(has_text="app.msix").first.click()
        assert page.text(".details h3") == "out/app.msix"
        assert "2 files of the report, 3 matched by no pattern" in page.text(".details .facts")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_of_a_hostile_report_is_executed_and_the_layout_holds(
    browser: Browser, tmp_path: Path, *, dark: bool
) -> None:
    path = written(hostile_report(), tmp_path)
    with opened(browser, path, dark=dark, width=700) as page:
        files = page.page.locator("[role=treeitem]:not([aria-expanded])")
        for index in range(files.count()):
            files.nth(index).click()
            assert not page.overflows()
        assert page.page.evaluate(FRESH)
        assert page.page.locator("main img, main script, main iframe, main a").count() == 0
        text = page.page.locator("main").inner_text()
        assert not {"\u202e", "\u200b", "\u200d", "\ufeff", "\x1b"} & set(text)
        assert "invoice\\u202egpj.exe" in text
        assert "<img src=x onerror=window.hacked=1>" in text
        assert page.serious_faults() == []
        assert (page.faults, page.requests) == ([], [path.as_uri()])


def test_the_policy_permits_no_script_but_the_pages_own(browser: Browser, tmp_path: Path) -> None:
    """The twin of the test above: a script that got into the page would not run."""
    path = written(report_of(1), tmp_path)
    text = path.read_text(encoding="utf-8")
    for injected in ("<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>"):
        path.write_text(text.replace("<body>", f"<body>{injected}"), encoding="utf-8")
        with opened(browser, path) as page:
            assert page.page.evaluate(FRESH)
            assert any("Content Security Policy" in fault for fault in page.faults)


def test_it_is_readable_in_a_narrow_window_at_twice_the_size(browser: Browser, tmp_path: Path) -> None:
    """A window of 1280 pixels at 200 % has 640 (WCAG 2.2, 1.4.4 and 1.4.10)."""
    with opened(browser, written(report_of(40, 7), tmp_path), width=640) as page:
        page.page.get_by_role("treeitem", name="module00.exe").click()
        assert not page.overflows()
        page.page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert not page.overflows()


def test_what_is_printed_has_every_file(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(report_of(40, 7), tmp_path)) as page:
        page.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.page.emulate_media(media="print")
        assert page.page.locator(".row:visible").count() == 41
        assert page.page.locator("button:visible").count() <= 4  # the legend: it is text there
        assert page.page.pdf().startswith(b"%PDF")


def test_a_hundred_thousand_files_are_open_in_three_seconds(browser: Browser, tmp_path: Path) -> None:
    """Seconds in which the page's thread has a processor: others do not count, however busy the machine is."""
    path = written(report_of(100_000, 1000), tmp_path)
    with watched(browser) as page:
        session = page.page.context.new_cdp_session(page.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.page.goto(path.as_uri())
        page.page.wait_for_selector("h1", timeout=60_000)
        metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
        assert metrics["TaskDuration"] < 3
        assert page.text(".counts") == "100,000 files: 99,000 signed, 1,000 failed; 99,000 verified"
        assert page.page.locator(".row").count() < 60
        page.page.get_by_role("searchbox").fill("component0999")
        page.page.get_by_role("status").filter(has_text="100 of 100,000 files").wait_for()


def test_a_damaged_page_says_so(browser: Browser, tmp_path: Path) -> None:
    path = written(report_of(1), tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('id="report">H4sI', 'id="report">AAAA'), encoding="utf-8")
    with opened(browser, path) as page:
        assert page.text("h1") == "The report can't be shown"


def test_a_report_of_an_older_version_is_shown_without_what_it_lacks(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(report_of(3, begun=False), tmp_path)) as page:
        assert page.page.locator(".timeline, .chain").count() == 0
        assert page.faults == []


def test_the_report_in_the_page_is_that_of_the_run(tmp_path: Path) -> None:
    """Nothing of it can end the element that it is in."""
    page = written(hostile_report(1000), tmp_path).read_text(encoding="utf-8")
    _, _, rest = page.partition('id="report">')
    packed, _, _ = rest.partition("</script>")
    assert set(packed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
    assert "hacked" in report_text(hostile_report(1000))


def test_values_that_nothing_can_draw_leave_no_empty_page(browser: Browser, tmp_path: Path) -> None:
    """A report that another program wrote into the page, with numbers and objects in the place of texts."""
    path = tmp_path / "signatures.html"
    wrong = {"subject": 1, "thumbprint": {}, "issuer": None, "not_before": 0, "not_after": []}
    data = {"report": {"schema": "kspsign.report/1", "passed": True, "certificate": wrong, "__proto__": {"passed": 1}}}
    path.write_text("".join(page_around([json.dumps(data)])), encoding="utf-8")
    with watched(browser) as page:
        page.page.goto(path.as_uri())
        page.page.wait_for_selector("h1")
        assert page.text("h1") == "The report can't be shown"
        assert "its value certificate.thumbprint is of a type that kspsign does not write" in page.text(".problem")
        assert page.page.locator(".verdict").count() == 0
