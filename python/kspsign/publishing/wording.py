"""The wording shared by all outputs: names of outcomes, one-line summaries, causes and remedies.

Texts made here from outside words are already fit for a log line (`neutral.log_line`).
"""

from __future__ import annotations

from kspsign.model.report import CertificateFacts, FileOutcome, Report, Totals
from kspsign.model.values import Check, ErrorFacts
from kspsign.publishing.sanitize import log_line

SUITE_NAME = "Signature verification"
TEST_SIGNING = "TEST SIGNING: throw-away keys, not for release"
CANCELLED_EXIT_CODE = 130


def is_failure(outcome: FileOutcome) -> bool:
    """Whether the file counts against the run: signing failed, verification failed, or an error says so."""
    return outcome.outcome == "failed" or outcome.verdict.result == "failed" or outcome.error is not None


def failures(report: Report) -> list[FileOutcome]:
    """The files that failed by themselves; why others were not tried is the run's own error."""
    return [outcome for outcome in report.files if is_failure(outcome) and outcome.tried]


def failures_first(report: Report) -> list[FileOutcome]:
    """The files of the report: failures, then what was not tried, then the others, each in their order."""
    return sorted(report.files, key=lambda outcome: (not is_failure(outcome), not outcome.tried))


def verdict_word(outcome: FileOutcome) -> str:
    """The result of strict verification, or "not checked"."""
    return {"verified": "verified", "failed": "not trusted", "not-checked": "not checked"}[outcome.verdict.result]


def outcome_word(outcome: FileOutcome) -> str:
    """The outcome in one word; a file that was signed and then did not verify has failed."""
    return "failed" if is_failure(outcome) else outcome.outcome


def failed_checks(outcome: FileOutcome) -> list[Check]:
    """The checks of strict verification that did not pass."""
    return [check for check in outcome.verdict.checks if not check.ok]


def failure_facts(outcome: FileOutcome) -> ErrorFacts:
    """Why the file failed; an outcome without its own error is explained by its failed checks."""
    if outcome.error is not None:
        return outcome.error
    found = "; ".join(f"{check.name}: {check.detail}" for check in failed_checks(outcome))
    return ErrorFacts(
        "NOT_VERIFIED",
        None,
        found or "the file was not verified",
        "Sign the file again and verify it; --verbose lists every check.",
    )


def code_text(error: ErrorFacts) -> str:
    """The stable code, with the Windows HRESULT where there is one."""
    return log_line(f"{error.code} ({error.hresult})" if error.hresult else error.code)


def timestamp_text(outcome: FileOutcome) -> str:
    """When and by whom the newest signature was stamped; empty for a file without signature."""
    if not outcome.signatures:
        return ""
    stamp = outcome.signatures[-1].timestamp
    return log_line(f"timestamp {stamp.time} by {stamp.authority}") if stamp else "no timestamp"


def file_line(outcome: FileOutcome) -> str:
    """The one line of a file: outcome, verdict, format, name, timestamp, and the cause if it failed."""
    parts = [
        f"{outcome_word(outcome):7}",
        f"{verdict_word(outcome):11}",
        f"{log_line(outcome.format or '?'):4}",
        log_line(outcome.path),
    ]
    if stamped := timestamp_text(outcome):
        parts.append(stamped)
    if is_failure(outcome):
        error = failure_facts(outcome)
        parts.append(f"{code_text(error)}: {log_line(error.message)}")
    return "  ".join(parts)


def check_lines(outcome: FileOutcome) -> list[str]:
    """Each check of strict verification, for --verbose."""
    return [
        log_line(f"    {'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
        for check in outcome.verdict.checks
    ]


def failure_lines(outcome: FileOutcome) -> list[str]:
    """A failed file with cause and remedy, for people who read text."""
    error = failure_facts(outcome)
    return [
        f"  {log_line(outcome.path)}",
        f"    cause:  {code_text(error)}: {log_line(error.message)}",
        f"    remedy: {log_line(error.remedy)}",
    ]


def not_tried_line(totals: Totals) -> str:
    """The number of files not tried, in words; empty when all were tried."""
    return f"not tried: {count(totals.left, 'file')}" if totals.left else ""


def certificate_line(facts: CertificateFacts, key_store: str) -> str:
    """The certificate that signs, in one line."""
    validity = f"valid until {facts.not_after}"
    return log_line(f"certificate {facts.thumbprint}  {facts.subject}  {validity}  key store {key_store}")


def warning_line(code: str, text: str) -> str:
    """A warning in one line."""
    return log_line(f"warning: {code}: {text}")


def count(number: int, noun: str) -> str:
    """`number` with its noun in singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def totals_line(report: Report) -> str:
    """The run in one line, test signing marked."""
    totals = report.totals
    state = "passed" if report.passed else "FAILED"
    if report.exit_code == CANCELLED_EXIT_CODE:
        state = "CANCELLED"
    mark = f" ({TEST_SIGNING})" if report.test_signing else ""
    if not totals.matched:
        return f"kspsign {log_line(report.command)}: {state}{mark}"
    if report.dry_run:
        return (
            f"kspsign {log_line(report.command)}: {dry_line(totals)}; {count(totals.matched, 'file')}: "
            f"{totals.skipped} skipped, {totals.failed} could not be signed{mark}"
        )
    return (
        f"kspsign {log_line(report.command)}: {state}, {count(totals.matched, 'file')}: "
        f"{totals.signed} signed, {totals.skipped} skipped, {totals.failed} failed; "
        f"{totals.verified} verified, {totals.unverified} not{mark}"
    )


def dry_line(totals: Totals) -> str:
    """The result of a dry run."""
    return f"DRY RUN, nothing was signed: {count(totals.signatures_needed, 'signature')} would be asked for"
