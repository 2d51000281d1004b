"""Turns results into the report: one outcome per file, the totals, the exit code."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from kspsign.batch.ledger import ledger_facts
from kspsign.batch.run import Run
from kspsign.model.errors import HaltedError, KspSignError
from kspsign.model.report import AgentFacts, ChainCertificate, FileOutcome, LeftOutFacts, Report, ToolFacts, Totals
from kspsign.model.values import NOT_CHECKED, Artifact, ErrorFacts, RootFacts, Verification, iso_utc
from kspsign.model.version import VERSION
from kspsign.signing.copies import SignedCopy

if TYPE_CHECKING:
    from cryptography import x509

LEFT_OUT_NAMED = 1000
"""Paths left out on purpose that the report names; it counts all."""
EXIT_PASSED = 0
EXIT_SOME_NOT_SIGNED = 1
EXIT_NOT_VERIFIED = 2
EXIT_NONE_SIGNED = 6


def signed(artifact: Artifact, copy: SignedCopy, verification: Verification, seconds: dict[str, float]) -> FileOutcome:
    """The file was signed, verified and replaced."""
    proved = _seen(artifact, verification, "signed")
    return replace(
        proved,
        sha256_before=copy.hashes.sha256,
        attempts=1,
        seconds=seconds,
        timestamp_server=copy.timestamp_server,
        certificate=copy.certificate,
        request_ids=copy.request_ids,
    )


def planned(artifact: Artifact, sha256: str) -> FileOutcome:
    """The file would be signed."""
    name, format_, size = artifact.name, artifact.format, artifact.size
    return FileOutcome(name, format_, size, sha256, sha256, "planned", container=artifact.container)


def removed(artifact: Artifact, sha256_before: str, sha256_after: str) -> FileOutcome:
    """Signatures, or parts of them, were taken out of the file; nothing is said of what is left."""
    name, format_ = artifact.name, artifact.format
    return FileOutcome(name, format_, artifact.size, sha256_before, sha256_after, "removed", attempts=1)


def created(artifact: Artifact, sha256: str) -> FileOutcome:
    """The file was written without a signature, on request; nothing is said of what it holds."""
    return FileOutcome(artifact.name, artifact.format, artifact.size, None, sha256, "created", attempts=1)


def extracted(artifact: Artifact, sha256: str) -> FileOutcome:
    """The file's signatures were written to files of their own; nothing is said of them."""
    return FileOutcome(artifact.name, artifact.format, artifact.size, sha256, sha256, "extracted")


def prepared(artifact: Artifact, sha256: str, request_ids: tuple[str, ...] = ()) -> FileOutcome:
    """What is to be signed of the file, or its signature, is in a digest document; the file keeps its bytes."""
    size = artifact.size
    return FileOutcome(artifact.name, artifact.format, size, sha256, sha256, "prepared", request_ids=request_ids)


def rebuilt(artifact: Artifact, verification: Verification, sha256_before: str) -> FileOutcome:
    """The container has no place for a signature; files inside were signed, and it was replaced."""
    return replace(_seen(artifact, verification, "rebuilt"), sha256_before=sha256_before, attempts=1)


def skipped(artifact: Artifact, verification: Verification) -> FileOutcome:
    """The file carries a signature that verifies and was left alone."""
    return _seen(artifact, verification, "skipped")


def checked(artifact: Artifact, verification: Verification, seconds: dict[str, float]) -> FileOutcome:
    """The file was verified, which may have failed, and was not to be signed."""
    return replace(_seen(artifact, verification, "checked"), error=verification.error, seconds=seconds)


def failed(
    artifact: Artifact,
    error: KspSignError | ErrorFacts,
    *,
    sha256: str | None = None,
    verification: Verification | None = None,
) -> FileOutcome:
    """The file keeps its bytes; `verification` is that of a signed copy that was thrown away."""
    return FileOutcome(
        path=artifact.name,
        format=artifact.format,
        size=artifact.size,
        sha256_before=sha256 or None,
        sha256_after=sha256 or None,
        outcome="failed",
        verdict=verification.verdict if verification else NOT_CHECKED,
        error=error if isinstance(error, ErrorFacts) else ErrorFacts.of(error),
        attempts=1 if verification else 0,
        container=artifact.container,
    )


def not_replaced(outcome: FileOutcome, container: str) -> FileOutcome:
    """The outcome of a file that was signed for a container which then failed: as it is there, it is not signed."""
    error = KspSignError(
        f"it was signed, but {container}, which it is in, failed and was left as it was",
        code="INSIDE_FAILED",
        remedy=f"Correct what made {container} fail, and run it again.",
    )
    return replace(
        outcome,
        sha256_after=outcome.sha256_before,
        outcome="failed",
        signatures=(),
        verdict=NOT_CHECKED,
        error=ErrorFacts.of(error),
    )


def _seen(
    artifact: Artifact, verification: Verification, outcome: Literal["signed", "skipped", "checked", "rebuilt"]
) -> FileOutcome:
    """The verification of the file as it is now."""
    return FileOutcome(
        path=artifact.name,
        format=artifact.format,
        size=artifact.size,
        sha256_before=verification.sha256 or None,
        sha256_after=verification.sha256 or None,
        outcome=outcome,
        signatures=verification.signatures,
        verdict=verification.verdict,
        container=artifact.container,
    )


def make_report(run: Run) -> Report:
    """The report of a run that is over."""
    record, settings = run.record, run.settings
    outcomes = [record.outcomes[artifact.name] for artifact in record.matched if artifact.name in record.outcomes]
    totals = Totals(
        matched=len(record.matched),
        signed=_count(outcomes, "signed"),
        skipped=_count(outcomes, "skipped"),
        failed=sum(outcome.error is not None for outcome in outcomes),
        verified=sum(outcome.verdict.ok for outcome in outcomes),
        unverified=sum(not outcome.verdict.ok for outcome in outcomes),
        signatures_used=record.signatures_used,
        signatures_needed=record.signatures_needed,
        left=record.left,
    )
    stopped = record.error if not isinstance(record.error, HaltedError) else None
    exit_code = stopped.exit_code if stopped else outcomes_exit_code(outcomes, totals)
    return Report(
        tool=ToolFacts("kspsign", VERSION),
        started=iso_utc(record.started),
        finished=iso_utc(datetime.now(UTC)),
        agent=AgentFacts(platform.system(), platform.machine(), platform.python_version()),
        build=run.context.build,
        command=settings.command,
        engine=record.engine,
        key_store=record.key_store,
        test_signing=record.test_signing,
        passed=exit_code == EXIT_PASSED and not settings.dry_run,
        exit_code=exit_code,
        certificate=record.certificate,
        totals=totals,
        files=tuple(outcomes),
        error=ErrorFacts.of(record.error) if record.error else None,
        slice=record.slice,
        policy=record.policy,
        limits=record.limits,
        dry_run=settings.dry_run,
        left_out=LeftOutFacts(len(record.left_out), tuple(record.left_out[:LEFT_OUT_NAMED])),
        trust=None if record.trust is None else replace(record.trust, used=used_roots(outcomes)),
        warnings=tuple(record.warnings),
        configuration=settings.configuration.facts,
        ledger=ledger_facts(run),
        provenance=record.provenance,
        max_signatures=settings.max_signatures,
        certificates=_certificates(record.chains),
    )


def _certificates(chains: AbstractSet[tuple[x509.Certificate, ...]]) -> tuple[ChainCertificate, ...]:
    if not chains:
        return ()
    from kspsign.verifying.chain_checks import chain_certificates  # noqa: PLC0415 - loaded where anything was judged

    return chain_certificates(chains)


def used_roots(outcomes: Sequence[FileOutcome]) -> tuple[RootFacts, ...]:
    """The roots that chains of the files ended in, each once."""
    signatures = [signature for outcome in outcomes for signature in outcome.signatures]
    roots = [signature.root for signature in signatures]
    roots += [signature.timestamp.root for signature in signatures if signature.timestamp is not None]
    return tuple(dict.fromkeys(root for root in roots if root is not None))


def _count(outcomes: Sequence[FileOutcome], outcome: str) -> int:
    return sum(file.outcome == outcome for file in outcomes)


def outcomes_exit_code(outcomes: Sequence[FileOutcome], totals: Totals) -> int:
    """The exit code of a run that nothing stopped."""
    if any(outcome.verdict.result == "failed" for outcome in outcomes):
        return EXIT_NOT_VERIFIED
    if not totals.failed:
        return EXIT_PASSED
    done = ("planned", "removed", "extracted", "prepared", "created", "rebuilt")
    others = sum(_count(outcomes, outcome) for outcome in done)
    return EXIT_SOME_NOT_SIGNED if totals.signed + totals.skipped + others else EXIT_NONE_SIGNED
