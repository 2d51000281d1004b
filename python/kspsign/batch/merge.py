"""Merges the reports of all slices into one, so that the build has one verdict.

Closed in every doubt: a slice that is missing, comes twice or saw other files stops the merge, and what stops it
is the merged report's error. The slices' reports are taken at their word; `kspsign verify` over the signed files
themselves needs no trust in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from kspsign.batch.finish import finished
from kspsign.batch.outcomes import make_report, outcomes_exit_code
from kspsign.batch.run import Run
from kspsign.batch.select import SelectionPurpose
from kspsign.batch.work_list import admit_outputs, matched, with_policy
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.ledger_facts import LedgerFacts
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report, Totals, TrustFacts
from kspsign.model.run_facts import SliceFacts
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import Artifact, ErrorFacts
from kspsign.publishing.read_report import read_report
from kspsign.publishing.setting_words import error_in_words
from kspsign.signing.use_recorder import USES_SHOWN

_SLICED_COMMANDS = frozenset({"run", "verify"})
_Slices = Sequence[tuple[SliceFacts, Report]]


def merge(run: Run) -> Report:
    """One report of the reports that the patterns name, published as if one run had taken all files."""
    record = run.record
    run.console.begin("merge", 0)
    try:
        admit_outputs(run)
        with_policy(run)
        reports = [_read(artifact) for artifact in matched(run, SelectionPurpose.SIGN).artifacts]
        merged = merged_report(make_report(run), _newest(reports))
    except KspSignError as error:
        record.error = error
        run.console.failed(error_in_words(ErrorFacts.of(error), run.words))
        merged = make_report(run)
    for done, outcome in enumerate(merged.files, start=1):
        run.console.file_done(outcome, done, len(merged.files))
    return finished(run, merged)


def merged_report(base: Report, slices: _Slices) -> Report:
    """`base` (tool, times, agent and build of the merge) with what the slices, by number, came to.

    Raises PrerequisiteError for a missing slice and ConfigurationError for slices that don't belong together.
    """
    _belong_together(base, slices)
    reports = [report for _facts, report in slices]
    started = min(report.started for report in reports)
    files = tuple(sorted((file for report in reports for file in _since(report, started)), key=lambda file: file.path))
    totals = Totals(*map(sum, zip(*(_counts(report.totals) for report in reports), strict=True)))
    stopped = next((report for report in reports if report.error is not None), None)
    if stopped is None:
        _complete(slices[0][0], files)
    codes = [report.exit_code for report in reports]
    exit_code = stopped.exit_code if stopped else outcomes_exit_code(files, totals) or max(codes)
    worked = next((report for report in reports if report.certificate is not None), reports[0])
    return replace(
        base,
        started=started,
        engine=worked.engine,
        key_store=worked.key_store,
        test_signing=any(report.test_signing for report in reports),
        passed=exit_code == 0,
        exit_code=exit_code,
        certificate=worked.certificate,
        totals=totals,
        files=files,
        error=stopped.error if stopped else None,
        policy=worked.policy,
        configuration=worked.configuration or base.configuration,
        left_out=reports[0].left_out,  # every slice sees the same files
        trust=_trust(reports),
        ledger=_ledger([report.ledger for report in reports if report.ledger is not None]),
        warnings=tuple(dict.fromkeys(warning for report in reports for warning in report.warnings)),
        max_signatures=worked.max_signatures,
        certificates=tuple(dict.fromkeys(one for report in reports for one in report.certificates)),
    )


def _ledger(facts: Sequence[LedgerFacts]) -> LedgerFacts | None:
    """The uses of the key by all slices; each slice's report has the anchor of its own ledger."""
    if not facts:
        return None
    outcomes: Counter[str] = Counter()
    for fact in facts:
        outcomes.update(fact.outcomes)
    return LedgerFacts(
        run=None,
        file=None,
        anchor=None,
        asked=sum(fact.asked for fact in facts),
        outcomes=dict(sorted(outcomes.items())),
        rotation=next((fact.rotation for fact in facts if fact.rotation is not None), None),
        uses=tuple(use for fact in facts for use in fact.uses)[:USES_SHOWN],
    )


def _since(report: Report, started: str) -> Iterator[FileOutcome]:
    """The files of `report`, whose work began so many seconds after the time `started`."""
    later = (datetime.fromisoformat(report.started) - datetime.fromisoformat(started)).total_seconds()
    for file in report.files:
        yield file if file.began is None or not later else replace(file, began=round(file.began + later, 3))


def _trust(reports: Sequence[Report]) -> TrustFacts | None:
    """All roots of the slices, and of the root program's lists the oldest."""
    facts = [report.trust for report in reports if report.trust is not None]
    if not facts:
        return None
    dates = [fact.program_date for fact in facts if fact.program_date is not None]
    return TrustFacts(
        named=tuple(dict.fromkeys(root for fact in facts for root in fact.named)),
        used=tuple(dict.fromkeys(root for fact in facts for root in fact.used)),
        program_date=min(dates, default=None),
    )


def _read(artifact: Artifact) -> tuple[SliceFacts, Report]:
    report = read_report(artifact.path, artifact.name)
    if report.slice is None or report.command not in _SLICED_COMMANDS:
        raise ConfigurationError(
            "this is not the report of a slice",
            remedy="Give `run` or `verify` of every job a slice: `slice: auto` in parallel jobs, or --slice 2/5.",
            file=artifact.name,
        )
    return report.slice, report


def _newest(found: _Slices) -> _Slices:
    """The slices by number; of a job that ran again, its last attempt."""
    newest: dict[int, tuple[SliceFacts, Report]] = {}
    for facts, report in found:
        before = newest.get(facts.number)
        if before is not None and _attempt(before[1]) == _attempt(report):
            raise _differ(f"slice {facts.number} comes twice")
        if before is None or _attempt(before[1]) < _attempt(report):
            newest[facts.number] = facts, report
    return [newest[number] for number in sorted(newest)]


def _attempt(report: Report) -> int:
    return report.build.attempt if report.build else 1


def _belong_together(base: Report, slices: _Slices) -> None:
    facts = slices[0][0]
    if any(replace(other, number=facts.number) != facts for other, _report in slices):
        raise _differ("the slices do not cover the same files, or differ in the number of slices")
    missing = sorted(set(range(1, facts.total + 1)) - {slice_.number for slice_, _report in slices})
    if missing or len(slices) != facts.total:
        raise PrerequisiteError(
            f"no report of slice {', '.join(map(str, missing))} of {facts.total}",
            code="SLICE_MISSING",
            remedy="Check the jobs of these slices, and publish each job's report even when its step failed.",
        )
    reports = [report for _facts, report in slices]
    builds = {report.build.id if report.build else None for report in reports}
    if len(builds | ({base.build.id} if base.build else set())) > 1:
        raise _differ("the slices are of different builds")
    if len({report.command for report in reports}) > 1:
        raise _differ("the slices are of different commands")
    if len({report.policy for report in reports} | ({base.policy} if base.policy else set())) > 1:
        raise _differ("the slices were judged by different policies, or not by the policy given here")
    if len({report.configuration for report in reports}) > 1:
        raise _differ("the slices read different configuration files")
    signing = [(report.certificate, report.key_store) for report in reports if report.certificate is not None]
    if any(not _same_publisher(first, signing[0][0]) or store != signing[0][1] for first, store in signing):
        raise _differ("the slices used different certificates or key stores")


def _same_publisher(one: CertificateFacts, other: CertificateFacts) -> bool:
    """Whether it is one certificate, or one of the same publisher's that was renewed between the slices."""
    if one == other or (one.subject, one.issuer) == (other.subject, other.issuer):
        return True
    return one.durable_identity is not None and one.durable_identity == other.durable_identity


def _complete(facts: SliceFacts, files: Sequence[FileOutcome]) -> None:
    matched = [file for file in files if file.container is None]
    if len(matched) != facts.files or len({file.path for file in files}) != len(files):
        raise _differ(
            f"{count(facts.files, 'file')} matched, but the slices report {len(matched)}, not each of them once"
        )


def _counts(totals: Totals) -> tuple[int, ...]:
    return (
        *(totals.matched, totals.signed, totals.skipped, totals.failed),
        *(totals.verified, totals.unverified, totals.signatures_used),
    )


def _differ(message: str) -> ConfigurationError:
    return ConfigurationError(
        message,
        code="SLICES_DIFFER",
        remedy="Give every job the same files and settings, and merge the reports of this build's jobs only.",
    )
