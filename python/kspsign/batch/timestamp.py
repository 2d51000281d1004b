"""Timestamps alone: what `kspsign timestamp` does."""

from __future__ import annotations

from collections.abc import Callable

from kspsign.authenticode.formats import open_signable
from kspsign.batch.finish import publish
from kspsign.batch.outcomes import failed, signed, skipped
from kspsign.batch.run import Run
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, DigestAlgorithm
from kspsign.signing.copies import Targets
from kspsign.signing.timestamper import Timestamper, open_timestamper
from kspsign.verifying import Verifier, open_verifier


def timestamp_files(run: Run, chosen: Callable[[Run], Run] = select) -> Report:
    """Timestamps for signatures that lack one; costs no signature of a key store. `chosen` gives the run its files."""
    settings = run.settings
    with run.to_its_end():
        admit_outputs(run)
        files = chosen(run)
        verifier = open_verifier(settings, None)
        files.trusts(verifier)
        digest = DigestAlgorithm(settings.timestamp_algorithm)
        timestamper = run.resources.enter_context(open_timestamper(settings, digest, run.shared, verifier.check_token))
        Batch(files, timestamper).work(
            lambda artifact: timestamp_one(artifact, timestamper, verifier, run.shared.targets), timestamper.concurrency
        )
        run.record.limits = timestamper.limits
    return publish(run)


def timestamp_one(artifact: Artifact, timestamper: Timestamper, verifier: Verifier, targets: Targets) -> FileOutcome:
    """The path of one signed artifact that lacks a timestamp; one that has it is skipped if it verifies."""
    with targets.hold(artifact) as held:
        held.check_writable()
        copy = timestamper.stamp(held, open_signable(artifact.path, artifact.format))
        path, known = (copy.path, copy.hashes) if copy else (artifact.path, None)
        verification = verifier.verify(path, artifact.format, artifact.name, known)
        if verification.error is not None:
            held.check_unchanged()
            sha256 = known.sha256 if known else None
            return failed(artifact, verification.error, sha256=sha256, verification=verification)
        if copy is None:
            return skipped(artifact, verification)
        targets.commit(held, copy)
        return signed(artifact, copy, verification, copy.seconds)
