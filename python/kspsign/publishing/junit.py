"""JUnit results: one test case per artifact, as the agent's result reader takes them.

The reader counts cases by itself. A skipped case would not count as a failure there, so a file that was not
verified is an error, never skipped; and a run that did not pass never looks green.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.sanitize import xml_text

CASES = 10_000
"""Files that get a test case, failures first; the report has all."""
_NOTHING_PROVED = ErrorFacts(
    "NOTHING_PROVED",
    None,
    "the run ended without a verdict on every file",
    "Read the log of the run and start it again.",
)


def junit_text(report: Report) -> str:
    """The results as an XML document."""
    suite = ET.Element("testsuite", name=wording.SUITE_NAME, timestamp=xml_text(report.started.removesuffix("Z")))
    _properties(suite, report)
    for outcome in _listed(report):
        _case(suite, outcome)
    green = suite.find(".//failure") is None and suite.find(".//error") is None
    if report.error is not None or (green and not (report.passed and (report.files or report.slice))):
        name = f"kspsign {report.command}"
        case = ET.SubElement(suite, "testcase", name=xml_text(name), classname="kspsign", time="0")
        _complaint(case, "error", report.error or _NOTHING_PROVED, [])
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    root = ET.Element("testsuites", name=wording.SUITE_NAME)
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _listed(report: Report) -> Sequence[FileOutcome]:
    """The files that get a case, in the report's order: all, or failures and what else there is room for."""
    if len(report.files) <= CASES:
        return report.files
    chosen = {outcome.path for outcome in wording.failures_first(report)[:CASES]}
    return [outcome for outcome in report.files if outcome.path in chosen]


def _properties(suite: ET.Element, report: Report) -> None:
    shown = {"command": report.command, "keyStore": report.key_store or ""}
    if report.certificate is not None:
        shown |= {"thumbprint": report.certificate.thumbprint, "subject": report.certificate.subject}
    if report.test_signing:
        shown["testSigning"] = wording.TEST_SIGNING
    shown |= {f"warning.{warning.code}": f"{warning.message}. {warning.remedy}" for warning in report.warnings}
    if (hidden := len(report.files) - CASES) > 0:
        shown["files"] = f"{count(hidden, 'more file')} in the report, which has no case here"
    properties = ET.SubElement(suite, "properties")
    for name, value in shown.items():
        ET.SubElement(properties, "property", name=name, value=xml_text(value))


def _case(suite: ET.Element, outcome: FileOutcome) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        name=xml_text(outcome.path).replace("\n", r"\n"),
        classname=xml_text(f"kspsign.{outcome.format or 'unknown'}"),
        time=f"{sum(outcome.seconds.values()):.3f}",
    )
    if outcome.verdict.result == "failed":
        _complaint(case, "failure", wording.failure_facts(outcome), _checks(outcome))
    elif wording.is_failure(outcome) or not outcome.verdict.ok:
        _complaint(case, "error", wording.failure_facts(outcome), _checks(outcome))


def _checks(outcome: FileOutcome) -> list[str]:
    return wording.other_checks(outcome)


def _complaint(case: ET.Element, tag: str, error: ErrorFacts, checks: list[str]) -> None:
    complaint = ET.SubElement(case, tag, type=xml_text(error.code))
    complaint.set("message", xml_text(f"{wording.code_text(error)}: {error.message}"))
    complaint.text = xml_text("\n".join([*wording.remedy_lines(error), *checks]))
