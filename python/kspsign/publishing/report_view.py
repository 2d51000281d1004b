"""A report in a terminal: the verdict, failures by cause, folders, chains, servers and times as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from kspsign.model.plurals import count
from kspsign.model.report import ChainCertificate, FileOutcome, Report
from kspsign.publishing import wording
from kspsign.publishing.failure_groups import group_failures
from kspsign.publishing.sanitize import clipped, log_line

FOLDERS, CAUSES, WARNINGS = 30, 20, 20
"""Rows of a table; what is left is counted below it."""
_CELL = 300
_PHASES = {"digest": ("digest",), "key store": ("sign", "rebuild"), "timestamp": ("timestamp",)}
"""The steps of a file in each phase; all others are verification and writing."""


class Row(NamedTuple):
    """Cells of a table, and whether they name a failure."""

    cells: tuple[str, ...]
    failed: bool = False


def print_report(report: Report, out: TextIO, width: int | None = None) -> None:
    """Print `report`; colours where `out` is a terminal. `width` is in characters, that of the terminal without it."""
    console = Console(file=out, markup=False, highlight=False, emoji=False, width=width)
    console.print(Text(wording.totals_line(report), style="green" if report.passed else "bold red"))
    if report.error is not None:
        console.print(Text(f"{wording.code_text(report.error)}: {log_line(report.error.message)}", style="red"))
        console.print(f"remedy: {log_line(report.error.remedy)}")
    tables = (
        ("Failed", ("files", "cause", "remedy"), _causes(report), CAUSES),
        ("Warnings", ("warning", "remedy"), _warnings(report), WARNINGS),
        ("Files by folder", ("folder", "files", "failed", "not verified"), _folders(report.files), FOLDERS),
        ("Chains", ("certificate", "valid from", "to", "days left"), _chains(report), FOLDERS),
        ("Timestamp servers", ("server", "files"), _servers(report.files), FOLDERS),
        ("Time of all files together", ("phase", "seconds"), _times(report.files), FOLDERS),
        ("Services", ("service", "at once, at most", "answers", "complaints"), _services(report), FOLDERS),
        ("About this run", ("", ""), _facts(report), FOLDERS),
    )
    for title, heads, rows, most in tables:
        _print_table(console, title, heads, rows, most)


def _print_table(console: Console, title: str, heads: Sequence[str], rows: Sequence[Row], most: int) -> None:
    if not rows:
        return
    columns = [Column(head, overflow="fold") for head in heads]
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE, show_header=any(heads))
    for row in rows[:most]:
        table.add_row(*(Text(log_line(clipped(cell, _CELL))) for cell in row.cells), style="red" if row.failed else "")
    console.print(table)
    if len(rows) > most:
        console.print(f"  and {count(len(rows) - most, 'more row')}, in the report")


def _causes(report: Report) -> list[Row]:
    return [
        Row((f"{group.counted}: {group.named}", group.headline, group.error.remedy), failed=True)
        for group in group_failures(report)
    ]


def _warnings(report: Report) -> list[Row]:
    return [Row((f"{warning.code}: {warning.message}", warning.remedy)) for warning in report.warnings]


def _folders(files: Iterable[FileOutcome]) -> list[Row]:
    """Each folder with its files, those with failures first."""
    total, failed, unproved = Counter[str](), Counter[str](), Counter[str]()
    for outcome in files:
        folder = outcome.path.replace("\\", "/").rpartition("/")[0] or "."
        total[folder] += 1
        failed[folder] += wording.is_failure(outcome)
        unproved[folder] += not outcome.verdict.ok
    ordered = sorted(total, key=lambda folder: (-failed[folder], folder))
    return [
        Row((folder, str(total[folder]), str(failed[folder]), str(unproved[folder])), failed=failed[folder] > 0)
        for folder in ordered
    ]


def _chains(report: Report) -> list[Row]:
    """Each chain from its publisher to its root."""
    known = {certificate.thumbprint: certificate for certificate in report.certificates}
    issuers = {certificate.issuer for certificate in report.certificates}
    rows: list[Row] = []
    for leaf in (certificate for certificate in report.certificates if certificate.thumbprint not in issuers):
        certificate: ChainCertificate | None = leaf
        seen: set[str] = set()
        while certificate is not None and certificate.thumbprint not in seen:
            rows.append(_chain_row(certificate, len(seen)))
            seen.add(certificate.thumbprint)
            certificate = known.get(certificate.issuer or "")
    return rows


def _chain_row(certificate: ChainCertificate, level: int) -> Row:
    left = (datetime.fromisoformat(certificate.not_after) - datetime.now(UTC)).days
    name = f"{'  ' * level}{wording.short_name(certificate.subject)}"
    ended = str(left) if left >= 0 else "expired"
    return Row((name, certificate.not_before[:10], certificate.not_after[:10], ended), failed=left < 0 and not level)


def _servers(files: Iterable[FileOutcome]) -> list[Row]:
    counted = Counter(outcome.timestamp_server for outcome in files if outcome.timestamp_server)
    return [Row((server, str(number))) for server, number in counted.most_common()]


def _times(files: Iterable[FileOutcome]) -> list[Row]:
    spent = Counter[str]()
    for outcome in files:
        for step, seconds in outcome.seconds.items():
            phase = next((name for name, steps in _PHASES.items() if step in steps), "verify and write")
            spent[phase] += seconds  # type: ignore[assignment]  # a Counter adds up any numbers
    return [Row((phase, f"{seconds:.2f}")) for phase, seconds in spent.items()]


def _services(report: Report) -> list[Row]:
    limits = report.limits
    if limits is None:
        return []
    named = [("key store", limits.key_store)] if limits.key_store is not None else []
    named += [(server.url, server.limit) for server in limits.timestamp]
    return [
        Row((name, str(limit.peak), str(limit.answers), str(limit.throttled)), failed=limit.throttled > 0)
        for name, limit in named
    ]


def _facts(report: Report) -> list[Row]:
    spent = str(report.totals.signatures_used)
    if report.max_signatures is not None:
        spent += f" of {report.max_signatures}"
    facts = [("signatures spent", spent + wording.spent_less(report.totals.signatures_used, report.totals))]
    if report.certificate is not None:
        facts.append(("certificate", f"{report.certificate.subject} ({report.certificate.thumbprint})"))
    if report.key_store is not None:
        facts.append(("key store", report.key_store))
    if report.policy is not None:
        facts.append(("policy", f"{report.policy.name} (sha256 {report.policy.sha256})"))
    if report.build is not None:
        build = report.build
        facts.append(("build", f"{build.definition} {build.number}, {build.repository} {build.source_version}"))
    facts.append(("time", f"{report.started} to {report.finished}"))
    return [Row(fact) for fact in facts]
