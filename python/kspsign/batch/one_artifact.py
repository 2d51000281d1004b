"""The path of one artifact: hold it, sign a copy, read the copy back and verify it, replace the target."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import ConvertibleFile, SignableFile
from kspsign.batch.admissions import MOST_KEPT, Admissions
from kspsign.batch.occupancy import guard, occupant_of, occupied
from kspsign.batch.outcomes import checked, failed, planned, signed, skipped
from kspsign.batch.run import Run
from kspsign.certificates.identity import PublisherIdentity
from kspsign.model.errors import KspSignError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact, Verification
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.engine import Engine
from kspsign.signing.plan import Planner
from kspsign.verifying import Verifier, read_signatures

if TYPE_CHECKING:
    from kspsign.batch.references import ReferencedFiles


class Signing(NamedTuple):
    """The shared parts of a signing run: the run, our certificate, and the verifier. `referenced` is None where no file
    states hashes of others."""

    run: Run
    identity: PublisherIdentity
    verifier: Verifier
    referenced: ReferencedFiles | None
    admissions: Admissions
    kept: list[SignableFile]

    def committed(self, artifact: Artifact, copy: SignedCopy, engine: Engine) -> None:
        """The copy has taken its target's place. What is in a container is not safe yet then, which others may have to
        be signed for."""
        inside = self.run.inside
        for safe in (copy,) if inside is None else inside.committed(artifact, copy):
            engine.hooks.on_committed(safe)

    def already_signed(self, artifact: Artifact, file: SignableFile, engine: Engine) -> None:
        """The file was found with our signature. What a killed run left of one inside may be for another container
        too, which is known at the end."""
        if artifact.container is None:
            engine.hooks.on_already_signed(file)
        elif len(self.kept) < MOST_KEPT:
            self.kept.append(file)


def admit_one(artifact: Artifact, signing: Signing, engine: Engine) -> None:
    """Raise what makes it certain before anything is asked of anybody that the artifact can't be signed."""
    if leaves_alone(artifact, signing):
        return
    try:
        state = artifact.path.stat()
        file = _open(artifact, signing)
    except OSError:
        return  # locking the file in its own step reports who holds it
    if is_to_be_signed(file, signing):
        guard(file)
        engine.hooks.admit(file)
        if signing.referenced is not None:
            signing.referenced.check(file)
        if signing.run.inside is not None:
            signing.run.inside.expect(artifact)
    signing.admissions.keep(artifact, state, file)


def sign_one(artifact: Artifact, signing: Signing, engine: Engine) -> FileOutcome:
    """The path of one artifact: hold, sign a copy, read it back and verify it, replace the target."""
    if signing.run.inside is not None:
        signing.run.inside.check_needed(artifact)
    with signing.run.shared.targets.hold(artifact) as held:
        if leaves_alone(artifact, signing):
            return _left_alone(artifact, signing)
        file = _admitted(held, signing, engine)
        kept = _already_signed(artifact, file, signing)
        if kept is not None:
            if kept.outcome == "skipped":
                signing.already_signed(artifact, file, engine)
            return kept
        held.check_writable()
        return sign_held(held, artifact, file, signing, engine)


def sign_held(
    held: LockedTarget, artifact: Artifact, file: SignableFile, signing: Signing, engine: Engine
) -> FileOutcome:
    """Sign a copy of `file`, the content of the held target, read it back and verify it, replace the target."""
    signing.verifier.check_inner_files(file, artifact.name, artifact.format)
    if signing.referenced is not None:
        file = signing.referenced.restate(file)
    copy = engine.sign(held, file)
    started = time.perf_counter()
    verification = signing.verifier.verify_by_names(copy.path, artifact.format, artifact.names, copy.hashes)
    seconds = {**copy.seconds, "verify": round(time.perf_counter() - started, 6)}
    if verification.error is not None:
        held.check_unchanged()  # the cause, when the file was changed between hash and copy
        return failed(artifact, verification.error, sha256=copy.hashes.sha256, verification=verification)
    signing.run.shared.targets.commit(held, copy)
    signing.committed(artifact, copy, engine)
    outcome = signed(artifact, copy, verification, seconds)
    if not _is_converted(file):
        return outcome
    signing.run.console.notice(f"{artifact.name}: line ends converted to CRLF before it was signed")
    return replace(outcome, line_ends="crlf")


def plan_one(artifact: Artifact, signing: Signing, planner: Planner) -> FileOutcome:
    """The outcome that `sign_one` would have, as far as is known without any request; changes nothing."""
    if signing.run.inside is not None:
        signing.run.inside.check_needed(artifact)
    with signing.run.shared.targets.hold(artifact) as held:
        if leaves_alone(artifact, signing):
            return _left_alone(artifact, signing)
        file = _open(artifact, signing)
        kept = _already_signed(artifact, file, signing)
        if kept is not None:
            return kept
        held.check_writable()
        guard(file)
        signing.verifier.check_inner_files(file, artifact.name, artifact.format)
        if signing.referenced is not None:
            signing.referenced.check(file)
        return planned(artifact, planner.plan(file))


def _admitted(held: LockedTarget, signing: Signing, engine: Engine) -> SignableFile:
    """The held file as it was admitted; one that was changed or not kept is read and admitted again."""
    file = signing.admissions.take(held)
    if file is None:
        file = _open(held.artifact, signing)
        if is_to_be_signed(file, signing):
            guard(file)
            engine.hooks.admit(file)
    return file


def leaves_alone(artifact: Artifact, signing: Signing) -> bool:
    """Whether the file is judged only: it was not selected for signing, or the policy keeps it from being signed."""
    return not artifact.to_sign or signing.verifier.leaves_alone(artifact.names, artifact.format)


def _left_alone(artifact: Artifact, signing: Signing) -> FileOutcome:
    """The outcome of a file that is judged only."""
    verification = signing.verifier.verify_by_names(artifact.path, artifact.format, artifact.names)
    return skipped(artifact, verification) if verification.error is None else checked(artifact, verification, {})


def _open(artifact: Artifact, signing: Signing) -> SignableFile:
    """The file as it is to be signed: with --crlf a script of other line ends is converted, unless it is signed."""
    settings = signing.run.settings
    file = open_signable(artifact.path, artifact.format, replacing=settings.replace)
    if settings.crlf and isinstance(file, ConvertibleFile) and (settings.replace or not file.signatures):
        return file.with_crlf()
    return file


def _is_converted(file: SignableFile) -> bool:
    return isinstance(file, ConvertibleFile) and file.is_converted


def is_to_be_signed(file: SignableFile, signing: Signing) -> bool:
    """Whether the engine will be asked to sign, as far as the file's structure says."""
    settings = signing.run.settings
    return settings.replace or (not occupant_of(file) and (settings.append or not file.signatures))


def _already_signed(artifact: Artifact, file: SignableFile, signing: Signing) -> FileOutcome | None:
    """The outcome of a file that carries signatures; None when it is to be signed."""
    settings = signing.run.settings
    occupant = None if settings.replace else occupant_of(file)
    if occupant is not None:
        return failed(artifact, occupied(occupant, file))
    beside = settings.append and signing.verifier.judge is not None
    if not file.signatures or settings.replace or beside:
        return None  # a policy may tolerate a signature next to a stronger one: the signed copy is judged
    verification = signing.verifier.verify_by_names(artifact.path, artifact.format, artifact.names)
    if settings.append:
        return None if verification.verdict.ok else failed(artifact, _unfit(verification), sha256=verification.sha256)
    ours = any(_is_ours(signature, signing.identity) for signature in read_signatures(file)[0])
    skipping = settings.skip_signed or artifact.container is not None
    if verification.verdict.ok and (ours or skipping):
        return skipped(artifact, verification)
    refusal = _refusal(verification, ours=ours, skipping=skipping)
    return failed(artifact, refusal, sha256=verification.sha256)


def _is_ours(signature: FileSignature, identity: PublisherIdentity) -> bool:
    """Whether our publisher's certificate, this one or one that was renewed since, made the signature."""
    try:
        return signature.certificate is not None and identity.is_same(PublisherIdentity.of(signature.certificate))
    except TrustError:
        return False


def _unfit(verification: Verification) -> KspSignError:
    """Why no signature is spent on a file that carries an invalid one: every signature of a file must be valid."""
    cause = verification.error.message if verification.error else "unknown"
    if _is_untrusted(verification):
        remedy = f"{_NAME_ROOT} Or replace the signature with yours (--replace), or exclude the file (!PATTERN)."
    else:
        remedy = "Sign the original build output, or replace it with yours (--replace)."
    return KspSignError(f"its signature does not verify: {cause}", code="ALREADY_SIGNED", remedy=remedy)


_NAME_ROOT = (
    "Name the root of the file's present signer too with --trust-root: named roots take the place of the default ones."
)
_UNTRUSTED = {code.name for code in (Hresult.CERT_E_UNTRUSTEDROOT, Hresult.CERT_E_CHAINING)}


def _is_untrusted(verification: Verification) -> bool:
    """Whether the signature itself is whole, and only its root is not among the trusted ones."""
    return verification.error is not None and verification.error.code in _UNTRUSTED


def _refusal(verification: Verification, *, ours: bool, skipping: bool) -> KspSignError:
    if ours and verification.error is not None:
        return KspSignError(
            f"it was signed with our certificate, but does not verify: {verification.error.message}",
            code="ALREADY_SIGNED",
            remedy="Build the file again, or replace its signature with --replace.",
        )
    subjects = ", ".join(signature.subject for signature in verification.signatures) or "an unreadable signature"
    if skipping and verification.error is not None:
        return KspSignError(
            f"it is signed by {subjects}, and only files that verify are skipped: {verification.error.message}",
            code="ALREADY_SIGNED",
            remedy=_NAME_ROOT
            if _is_untrusted(verification)
            else f"Replace it (--replace), or exclude the file "
            f"(!PATTERN). Of the signature itself: {verification.error.remedy}",
        )
    return KspSignError(
        f"it is signed already, by {subjects}",
        code="ALREADY_SIGNED",
        remedy="Choose --append (second signature), --replace, or --skip-signed (keep valid ones), or exclude it.",
    )
