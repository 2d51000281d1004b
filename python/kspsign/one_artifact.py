"""The path of one artifact: hold it, sign a copy, read the copy back and verify it, replace the target."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kspsign.authenticode.formats import open_signable
from kspsign.errors import ArtifactError, CancelledError, KspSignError
from kspsign.hresults import Hresult
from kspsign.model import Artifact, FileOutcome, SyncedCertificate, Verification
from kspsign.outcomes import checked, failed, signed, skipped
from kspsign.settings import Settings
from kspsign.signing import Engine, Stamper, access_error, commit, hold
from kspsign.verifying import Verifier


def sign_one(
    artifact: Artifact,
    settings: Settings,
    engine: Engine,
    verifier: Verifier,
    certificate: SyncedCertificate,
) -> FileOutcome:
    """The path of one artifact: hold, sign a copy, read it back and verify it, replace the target."""
    with hold(artifact) as held:
        kept = _already_signed(artifact, settings, verifier, certificate)
        if kept is not None:
            return kept
        copy = engine.sign(artifact, held.copy)
        started = time.perf_counter()
        verification = verifier.verify(copy.path, artifact.format, artifact.name)
        seconds = {**copy.seconds, "verify": round(time.perf_counter() - started, 6)}
        if verification.error is not None:
            return failed(artifact, verification.error, sha256=copy.sha256_before, verification=verification)
        commit(held, copy)
        return signed(artifact, copy, verification, seconds)


def timestamp_one(artifact: Artifact, stamper: Stamper, verifier: Verifier) -> FileOutcome:
    """The path of one signed artifact that lacks a timestamp; one that has it is skipped if it verifies."""
    with hold(artifact) as held:
        copy = stamper.stamp(artifact, held.copy)
        verification = verifier.verify(copy.path if copy else artifact.path, artifact.format, artifact.name)
        if verification.error is not None:
            return failed(
                artifact,
                verification.error,
                sha256=copy.sha256_before if copy else None,
                verification=verification,
            )
        if copy is None:
            return skipped(artifact, verification)
        commit(held, copy)
        return signed(artifact, copy, verification, copy.seconds)


def verify_one(artifact: Artifact, verifier: Verifier) -> FileOutcome:
    started = time.perf_counter()
    verification = verifier.verify(artifact.path, artifact.format, artifact.name)
    return checked(artifact, verification, {"verify": round(time.perf_counter() - started, 6)})


def guarded(artifact: Artifact, cancelled: threading.Event, step: Callable[[], FileOutcome]) -> FileOutcome:
    """The per-file boundary: whatever happens to one file is its outcome and stops no other."""
    if cancelled.is_set():
        return failed(artifact, CancelledError())
    try:
        return step()
    except KspSignError as error:
        return failed(artifact, error)
    except OSError as error:
        return failed(artifact, access_error(error))
    except Exception as error:  # noqa: BLE001 - one file's surprise must not lose the others' outcomes
        unexpected = ArtifactError(
            Hresult.ERROR_BAD_FORMAT,
            f"unexpected {type(error).__name__}: {error}",
            remedy="This is a defect of kspsign: report it with the file.",
        )
        return failed(artifact, unexpected)


def _already_signed(
    artifact: Artifact, settings: Settings, verifier: Verifier, certificate: SyncedCertificate
) -> FileOutcome | None:
    """What becomes of a file that carries signatures, or that the policy leaves alone; None when it is to be signed."""
    if verifier.leaves_alone(artifact.name, artifact.format):
        verification = verifier.verify(artifact.path, artifact.format, artifact.name)
        if verification.error is None:
            return skipped(artifact, verification)
        return checked(artifact, verification, {})
    if not open_signable(artifact.path, artifact.format).signatures or settings.replace or settings.append:
        return None
    verification = verifier.verify(artifact.path, artifact.format, artifact.name)
    ours = any(each.thumbprint == certificate.thumbprint for each in verification.signatures)
    if verification.verdict.ok and (ours or settings.skip_signed):
        return skipped(artifact, verification)
    return failed(artifact, _refusal(verification, ours=ours), sha256=verification.sha256)


def _refusal(verification: Verification, *, ours: bool) -> KspSignError:
    if ours and verification.error is not None:
        return KspSignError(
            f"our certificate signed it before, but it does not verify: {verification.error.message}",
            code="ALREADY_SIGNED",
            remedy="Build the file again, or sign it anew with --replace.",
        )
    subjects = ", ".join(each.subject for each in verification.signatures) or "an unreadable signature"
    return KspSignError(
        f"it is signed already, by {subjects}",
        code="ALREADY_SIGNED",
        remedy="Choose --append (second signature), --replace, or --skip-signed (keep valid ones), or exclude it.",
    )
