"""The path of every artifact: certsync -> sign -> verify -> publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from kspsign.batch.cautions import signature_warnings
from kspsign.batch.merge import merge
from kspsign.batch.one_artifact import timestamp_one, verify_one
from kspsign.batch.run import OutputState, Run
from kspsign.batch.stages import certsync, present, publish, sign, verify
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select, with_policy
from kspsign.certsync import synchronise
from kspsign.concurrency.cancellation import interruptible
from kspsign.model.report import Report
from kspsign.model.values import DigestAlgorithm
from kspsign.signing import LOCAL_SLOTS, open_timestamper
from kspsign.verifying import open_second_opinion, open_verifier


def run(run: Run) -> Report:
    """certsync -> sign -> verify -> publish. Never raises for what a file holds; see the report's exit code."""
    with run.to_its_end():
        files = files_to_sign(run)
        if files.artifacts:
            key = certsync(files)
            copies = sign(files, key)
            verify(files, copies)
    return publish(run)


def files_to_sign(run: Run) -> Run:
    """The run with the files that it takes; raises PolicyError when one is missing."""
    admit_outputs(run)
    files = select(with_policy(run))
    if run.record.missing is not None:
        raise run.record.missing
    return files


def verify_files(run: Run) -> Report:
    """Strict verification alone: every matched file with its verdict."""
    with run.to_its_end():
        admit_outputs(run)
        files = select(with_policy(run))
        second = run.open(open_second_opinion(run.settings, None, run.cancelled))
        verifier = replace(open_verifier(run.settings, None, files.judge), second=second)
        files.trusts(verifier.trust.facts)
        Batch(files).work(lambda artifact: verify_one(artifact, verifier), LOCAL_SLOTS)
        files.warn(signature_warnings(files.record.outcomes.values()))
        if run.record.missing is not None:
            raise run.record.missing
    return publish(run)


def synchronise_certificate(run: Run) -> Report:
    """Stage 1 alone: the certificate is brought to this agent."""
    with run.to_its_end():
        admit_outputs(run)
        run.record.outputs = OutputState.FREE  # it works on no file
        present(run, interruptible(lambda: synchronise(run.settings, run.hear, run.cancelled), run.cancelled))
    return publish(run)


def timestamp_files(run: Run) -> Report:
    """Timestamps for signatures that lack one; costs no signature of a key store."""
    settings = run.settings
    with run.to_its_end():
        admit_outputs(run)
        files = select(run)
        verifier = open_verifier(settings, None)
        files.trusts(verifier.trust.facts)
        digest = DigestAlgorithm(settings.digest)
        timestamper = run.resources.enter_context(open_timestamper(settings, digest, run.shared, verifier.check_token))
        Batch(files, timestamper).work(
            lambda artifact: timestamp_one(artifact, timestamper, verifier, run.shared.targets), timestamper.concurrency
        )
        run.record.limits = timestamper.limits
    return publish(run)


COMMANDS: Final[Mapping[str, Callable[[Run], Report]]] = {
    "run": run,
    "sign": run,
    "certsync": synchronise_certificate,
    "timestamp": timestamp_files,
    "verify": verify_files,
    "merge": merge,
}
"""The function of each command."""
