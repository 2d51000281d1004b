"""Strict verification alone: what `kspsign verify` does. It loads nothing of what signs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kspsign.batch.cautions import signature_warnings
from kspsign.batch.finish import publish
from kspsign.batch.outcomes import checked
from kspsign.batch.run import Run
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select, with_policy
from kspsign.model.errors import ConfigurationError
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, Verification
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.verifying import Observer, Verifier, open_second_opinion, open_verifier


def verify_files(run: Run, chosen: Callable[[Run], Run] = select, observer: Observer | None = None) -> Report:
    """Strict verification alone: every matched file with its verdict, by its own signature or by catalogues.

    `chosen` gives the run its files; `observer` is shown the signatures of each.
    """
    with run.to_its_end():
        admit_outputs(run)
        files = chosen(with_policy(run))
        second = run.open(open_second_opinion(run.settings, None, run.cancelled, run.shared.slots.released))
        jobs = LOCAL_SLOTS if second is None else second.concurrency
        verifier = replace(open_verifier(run.settings, None, files.judge), second=second, observer=observer)
        files.trusts(verifier)
        proved = _provenance(files, verifier)
        if run.settings.catalog:
            _work_by_catalogue(files, verifier, proved, jobs)
        else:
            _work(files, lambda artifact: proved(_judge(artifact, files, verifier)), jobs)
        files.warn(signature_warnings(files.record.outcomes.values()))
        if run.record.missing is not None:
            raise run.record.missing
    return publish(run)


def _provenance(files: Run, verifier: Verifier) -> Callable[[Verification], Verification]:
    """What adds the check of --provenance to a file's verdict. Raises TrustError when it does not hold, and
    ConfigurationError when the policy demands one and none is given."""
    path, rule = files.settings.provenance, files.judge.policy.provenance if files.judge is not None else None
    if path is None and rule is None:
        return lambda verification: verification
    if path is None:
        raise ConfigurationError(
            "the policy demands provenance, and none is given",
            remedy="Name the file that the signing run wrote with --provenance.",
        )
    from kspsign.verifying.provenance import read_provenance, verify_provenance  # noqa: PLC0415 - few runs have one

    verified = verify_provenance(read_provenance(path), str(path), verifier, rule)
    files.record.provenance = verified.facts
    return verified.judge


def _judge(artifact: Artifact, files: Run, verifier: Verifier) -> Verification:
    node = None if files.inside is None else files.inside.nodes.get(artifact.name)
    if files.inside is None or node is None:
        return verifier.verify(artifact.path, artifact.format, artifact.name)
    from kspsign.batch.inside.verdict import verify_container  # noqa: PLC0415 - few runs look inside

    return verify_container(node, files.inside, verifier)


def _work_by_catalogue(
    files: Run, verifier: Verifier, proved: Callable[[Verification], Verification], jobs: int
) -> None:
    from kspsign.batch.by_catalogue import open_catalogues  # noqa: PLC0415 - few runs have one

    opened = open_catalogues(files, verifier)
    _work(opened.files, lambda artifact: proved(opened.verifier.verify(artifact)), jobs)
    opened.account()


def _work(files: Run, judge: Callable[[Artifact], Verification], jobs: int) -> None:
    Batch(files).work(lambda artifact: _verify_one(artifact, judge), jobs)


def _verify_one(artifact: Artifact, judge: Callable[[Artifact], Verification]) -> FileOutcome:
    """The path of one artifact that is only judged."""
    started = time.perf_counter()
    verification = judge(artifact)
    return checked(artifact, verification, {"verify": round(time.perf_counter() - started, 6)})
