"""The wording shared by all outputs: names of outcomes, one-line summaries, causes and remedies.

Texts made here from outside words are already fit for a log line (`sanitize.log_line`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report, Totals
from kspsign.model.values import Check, ErrorFacts
from kspsign.publishing.sanitize import clipped, log_line

if TYPE_CHECKING:
    from kspsign.model.signing_facts import CertificateFacts

PART_LIMIT = 300
"""Characters of a path or message in an issue, so that the remedy is never cut off."""
SUITE_NAME = "Signature verification"
TEST_SIGNING = "TEST SIGNING: throw-away keys, not for release"
CANCELLED_EXIT_CODE = 130
_SHARES = (
    *("signed", "rebuilt", "skipped", "removed", "extracted", "prepared", "created", "verified"),
    *("to sign", "not verified", "failed", "not tried"),
)
"""Each file counts to one of these."""
_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=((?:\\.|[^,\\])+)")


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


def other_checks(outcome: FileOutcome) -> list[str]:
    """The failed checks that the cause does not state already, a line each."""
    stated = failure_facts(outcome).message
    failed = [check for check in failed_checks(outcome) if check.detail not in stated]
    return [log_line(f"failed check: {check.name}: {check.detail}") for check in failed]


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


def help_link(error: ErrorFacts) -> str:
    """The address of the paragraph that explains the failure; empty when none does."""
    from kspsign.diagnosis import paragraph_link  # noqa: PLC0415 - its knowledge is read when something failed

    hresult = error.hresult
    return paragraph_link(error.code, hresult if hresult and re.fullmatch("0x[0-9A-Fa-f]{8}", hresult) else None)


def remedy_lines(error: ErrorFacts) -> list[str]:
    """The remedy, and where there is more to read, for people who read text."""
    link = help_link(error)
    return [f"remedy: {log_line(error.remedy)}", *([f"more:   {link}"] if link else [])]


def issue_text(error: ErrorFacts, *, whose: str = "", files: str = "", limit: int = PART_LIMIT) -> str:
    """The text of an issue: whose it is, code, cause (`limit` characters), remedy, the first of several files, and
    where to read more."""
    cause = clipped(error.message, limit)
    stop = "" if cause.endswith((".", "!", "?")) else "."
    prefix = f"{clipped(whose, PART_LIMIT)}: " if whose else ""
    named = f" Files: {clipped(files, PART_LIMIT)}." if files else ""
    link = help_link(error)
    more = f" More: {link}" if link else ""
    return f"{prefix}{code_text(error)}: {cause}{stop} Remedy: {error.remedy}{named}{more}"


def timestamp_text(outcome: FileOutcome) -> str:
    """When and by whom the newest signature was stamped; empty for a file without signature."""
    if not outcome.signatures:
        return ""
    stamp = outcome.signatures[-1].timestamp
    return log_line(f"timestamp {stamp.time} by {stamp.authority}") if stamp else "no timestamp"


def signer_text(outcome: FileOutcome) -> str:
    """Who made the newest signature; empty for a file without one."""
    return log_line(f"signed by {short_name(outcome.signatures[-1].subject)}") if outcome.signatures else ""


def file_line(outcome: FileOutcome) -> str:
    """The one line of a file: outcome, verdict, format, name, signer, timestamp, and the code if it failed.

    The cause follows at the end, once for all files that it concerns.
    """
    parts = [
        f"{outcome_word(outcome):7}",
        f"{verdict_word(outcome):11}",
        f"{log_line(outcome.format or '?'):4}",
        log_line(outcome.path),
        signer_text(outcome),
        timestamp_text(outcome),
        code_text(failure_facts(outcome)) if is_failure(outcome) else "",
    ]
    return "  ".join(part for part in parts if part)


def check_lines(outcome: FileOutcome) -> list[str]:
    """Each check of strict verification, for --verbose."""
    return [
        log_line(f"    {'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
        for check in outcome.verdict.checks
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


def totals_line(report: Report) -> str:
    """The run in one line, test signing marked."""
    totals = report.totals
    state = "passed" if report.passed else "FAILED"
    if report.exit_code == CANCELLED_EXIT_CODE:
        state = "CANCELLED"
    mark = f" ({TEST_SIGNING})" if report.test_signing else ""
    if not totals.matched:
        return f"kspsign {log_line(report.command)}: {state}{mark}"
    head = f"{dry_line(totals)};" if report.dry_run else f"{state},"
    return f"kspsign {log_line(report.command)}: {head} {totals_text(report)}{mark}"


def totals_text(report: Report) -> str:
    """ "40 files: 36 signed, 1 skipped, 3 failed; 37 verified": each file counts to one number before the semicolon."""
    counted = Counter(_share(outcome) for outcome in report.files)
    counted["not tried"] += report.totals.matched - sum(counted.values())  # the run ended before it came to them
    parts = [f"{counted[word]} {word}" for word in _SHARES if counted[word]]
    proved = sum(outcome.verdict.ok for outcome in report.files)
    said = "" if counted["verified"] == proved else f"; {proved} verified"
    return f"{count(report.totals.matched, 'file')}: {', '.join(parts)}{said}"


def _share(outcome: FileOutcome) -> str:
    """The one number that the file counts to."""
    if not outcome.tried:
        return "not tried"
    if is_failure(outcome):
        return "failed"
    named = {"checked": "verified", "planned": "to sign"}.get(outcome.outcome, outcome.outcome)
    return "not verified" if named == "verified" and not outcome.verdict.ok else named


def dry_line(totals: Totals) -> str:
    """The result of a dry run."""
    return f"DRY RUN, nothing was signed: {count(totals.signatures_needed, 'signature')} would be asked for"


def spent_less(spent: int, totals: Totals) -> str:
    """Why a run spent fewer signatures than it signed files, as an addition to the number; "" where it did not."""
    if not 0 < spent < totals.signed:
        return ""
    return (
        f"; {count(totals.signed, 'file')} signed: equal files share a signature, and those kept from an earlier run "
        "cost none"
    )


def short_name(subject: str) -> str:
    """The common name of a subject as the report writes it, else all of it."""
    found = _COMMON_NAME.search(subject)
    return re.sub(r"\\(.)", r"\1", found[1]).strip() if found else subject
