"""The Markdown summary of a run: what a release manager reads before approving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kspsign.model.ledger_facts import LedgerFacts
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report, RunWarning, Totals
from kspsign.model.values import ErrorFacts
from kspsign.publishing import wording
from kspsign.publishing.failure_groups import FIRST_FILES, FailureGroup, group_failures
from kspsign.publishing.sanitize import clipped, markdown_text

ROWS, CAUSES = 200, 50
"""Files that did not fail, and causes of failures, that are listed; the report holds the rest."""

_CELL = 300
_NAMES = 5

_OUTCOMES = {"embedded": "embedded in files"}
"""Outcomes of signatures that one word does not explain: embedded is also a key store."""


def summary_text(report: Report) -> str:
    """The summary as Markdown (GitHub's tables), words from outside without any meaning in it."""
    lines = [f"# {wording.SUITE_NAME}: {_state(report)}", "", _sentence(report), ""]
    if report.test_signing:
        lines += [f"> **{wording.TEST_SIGNING}**", ""]
    if report.error is not None:
        lines += [
            f"**Cause:** {_cell(report.error.message)} ({_code(report.error)})",
            "",
            f"**Remedy:** {_cell(report.error.remedy)}",
            "",
        ]
    failures = wording.failures(report)
    if failures:
        groups = group_failures(report)
        rows = [_failure_row(group) for group in groups[:CAUSES]]
        lines += ["## Failed", "", *_table(("Files", "Cause", "Remedy"), rows)]
        if rest := groups[CAUSES:]:
            files = count(sum(len(group.files) for group in rest), "more file")
            lines += [f"{files} for {count(len(rest), 'other cause')}: in the attached report.", ""]
    if report.totals.left:
        lines += [f"{count(report.totals.left, 'file')} not tried: in the attached report.", ""]
    if report.warnings:
        lines += ["## Warnings", "", *_table(("Warning", "Remedy"), map(_warning_row, report.warnings))]
    if failures or report.warnings:
        lines += ["## About this run", ""]
    lines += _table(("Question", "Answer"), _facts(report))
    others = [outcome for outcome in report.files if not wording.is_failure(outcome)]
    if others:
        rows = [_file_row(outcome) for outcome in others[:ROWS]]
        lines += ["## Files", "", *_table(("File", "Outcome", "Verdict", "Signed by", "Timestamp"), rows)]
        if (hidden := len(others) - ROWS) > 0:
            lines += [f"{count(hidden, 'more file')}: in the attached report.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _state(report: Report) -> str:
    if report.exit_code == wording.CANCELLED_EXIT_CODE:
        return "cancelled"
    return "passed" if report.passed else "failed"


def _sentence(report: Report) -> str:
    if not report.files:
        return f"`kspsign {report.command}` processed no file."
    return f"{wording.totals_text(report)}."


def _facts(report: Report) -> list[tuple[str, ...]]:
    facts: list[tuple[str, str]] = []
    certificate = report.certificate
    if certificate is not None:
        facts += [
            ("Signed by", f"{certificate.subject} (thumbprint {certificate.thumbprint})"),
            ("Issued by", certificate.issuer),
            ("Certificate valid until", certificate.not_after),
        ]
    else:
        signers = (signature.subject for outcome in report.files for signature in outcome.signatures)
        facts.append(("Signed by", _ranked(signers)))
    facts.append(("Timestamped by", _ranked(_authorities(report.files))))
    if report.key_store:
        mark = f" ({wording.TEST_SIGNING})" if report.test_signing else ""
        facts.append(("Key store", report.key_store + mark))
    if report.configuration is not None:
        facts.append(("Configuration", f"{report.configuration.name} (sha256 {report.configuration.sha256})"))
    if report.policy is not None:
        facts.append(("Policy", f"{report.policy.name} (sha256 {report.policy.sha256})"))
    if report.ledger is not None:
        facts.append(("Uses of the key", _uses(report.ledger, report.totals)))
    if report.build is not None:
        build = report.build
        facts.append(("Build", f"{build.definition} {build.number}, {build.repository} {build.source_version}"))
    facts.append(("Finished", f"{report.finished} by {report.tool.name} {report.tool.version}"))
    return [(name, _cell(value)) for name, value in facts]


def _uses(ledger: LedgerFacts, totals: Totals) -> str:
    """How often the key was asked, what became of it, and where the ledger ends."""
    counted = ", ".join(f"{number} {_OUTCOMES.get(outcome, outcome)}" for outcome, number in ledger.outcomes.items())
    said = f"{count(ledger.asked, 'signature')} asked for" + (f", {counted}" if counted else "")
    said += wording.spent_less(ledger.asked, totals)
    if ledger.rotation is not None:
        turned = ledger.rotation
        said += f"; new certificate {turned.new} (until {turned.new_not_after}), before {turned.old}"
    if ledger.month is not None:
        month = ledger.month
        limit = f" of {month.limit}" if month.limit is not None else ""
        said += f"; {month.spent}{limit} in {month.month}, {month.forecast} by its end at this rate"
    if ledger.anchor is not None:
        said += f"; ledger line {ledger.anchor.number} is {ledger.anchor.sha256}"
    return said


def _authorities(files: Iterable[FileOutcome]) -> Iterable[str]:
    for outcome in files:
        for signature in outcome.signatures:
            yield signature.timestamp.authority if signature.timestamp else "no timestamp"


def _ranked(names: Iterable[str]) -> str:
    counted = Counter(names).most_common()
    if not counted:
        return "none"
    shown = "; ".join(f"{clipped(name, 80)} ({number})" for name, number in counted[:_NAMES])
    return shown + (f"; and {len(counted) - _NAMES} more" if len(counted) > _NAMES else "")


def _warning_row(warning: RunWarning) -> tuple[str, ...]:
    return _cell(f"{warning.code}: {warning.message}"), _cell(warning.remedy)


def _failure_row(group: FailureGroup) -> tuple[str, ...]:
    """A cause with its files: how many, and the first of them."""
    error = group.error
    names = [_cell(outcome.path) for outcome in group.files[:FIRST_FILES]]
    if len(group.files) > 1:
        names.insert(0, f"{group.counted}:")
    if len(group.files) > FIRST_FILES:
        names.append(f"and {len(group.files) - FIRST_FILES} more, in the attached report")
    return "<br>".join(names), f"{_cell(error.message)}<br>{_code(error)}", _cell(error.remedy)


def _code(error: ErrorFacts) -> str:
    """The code, linked to the paragraph that explains it."""
    code, link = _cell(wording.code_text(error)), wording.help_link(error)
    return f"[{code}]({link})" if link else code


def _file_row(outcome: FileOutcome) -> tuple[str, ...]:
    signature = outcome.signatures[-1] if outcome.signatures else None
    stamp = signature.timestamp if signature else None
    return (
        _cell(outcome.path),
        outcome.outcome,
        wording.verdict_word(outcome),
        _cell(signature.subject) if signature else "-",
        _cell(f"{stamp.time} by {stamp.authority}") if stamp else "-",
    )


def _cell(text: str) -> str:
    return markdown_text(clipped(text, _CELL))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]
