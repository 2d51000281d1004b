"""The steps of a container: everything in it comes first, then it is written again, signed, verified and replaced."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kspsign.authenticode.containers.container import Container, open_container
from kspsign.authenticode.containers.rebuild import check_rebuild, rebuild
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import DiskState
from kspsign.authenticode.signable import Digest
from kspsign.batch.inside.extract import BOUNDS
from kspsign.batch.inside.tree import ContainerMember, ContainerNode, Inside
from kspsign.batch.inside.verdict import check_kind, own_verdict, proved, sha256_of
from kspsign.batch.occupancy import guard
from kspsign.batch.one_artifact import Signing, admit_one, plan_one, sign_held, sign_one
from kspsign.batch.outcomes import checked, planned, rebuilt, skipped
from kspsign.model.errors import ArtifactError, KspSignError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.engine import Engine
from kspsign.signing.plan import Planner


def admit_container(node: ContainerNode, signing: Signing, engine: Engine) -> None:
    """Raise what makes it certain that the container, or something in it, can't be signed, before anything is spent."""
    if node.error is not None:
        raise node.error
    artifact, inside = node.artifact, _tree(signing)
    _check_members(node, inside)
    inside.check_needed(artifact)
    if artifact.format is not None:
        admit_one(artifact, signing, engine)
    else:
        check_kind(node)
    entries = inside.expected(node)
    if entries and not inside.is_doomed(artifact):
        check_rebuild(_container(node), entries, drop_signature=signing.run.settings.replace)


def sign_container(node: ContainerNode, signing: Signing, engine: Engine) -> FileOutcome:
    """The path of a container whose files are done: hold it, write it again around those that changed, sign a copy,
    verify it, replace the target.

    Raises KspSignError (INSIDE_FAILED) when a file in it failed: the container stays as it was.
    """
    artifact, inside = node.artifact, _tree(signing)
    _check_members(node, inside)
    inside.check_needed(artifact)
    changed = inside.changed(node)
    if not changed:
        return _unchanged(node, signing, lambda: sign_one(artifact, signing, engine))
    with signing.run.shared.targets.hold(artifact) as held:
        sha256 = sha256_of(artifact.path)
        _check_content(node, held, sha256)
        held.check_writable()
        started = time.perf_counter()
        made = _written_again(node, changed, inside, drop_signature=signing.run.settings.replace)
        seconds = {"rebuild": round(time.perf_counter() - started, 6)}
        held.take_content(made)
        if artifact.format is None:
            outcome = _replace(held, node, signing, engine, sha256)
        else:
            file = open_signable(made, artifact.format, replacing=signing.run.settings.replace)
            guard(file)
            engine.hooks.admit(file)
            outcome = sign_held(held, artifact, file, signing, engine)
        made.unlink(missing_ok=True)
    if outcome.error is None:
        inside.drop(node)
    return proved(replace(outcome, sha256_before=sha256, seconds={**seconds, **outcome.seconds}), node)


def plan_container(node: ContainerNode, signing: Signing, planner: Planner) -> FileOutcome:
    """The outcome that `sign_container` would have; a container that would be written again takes a signature."""
    artifact, inside = node.artifact, _tree(signing)
    if node.error is not None:
        raise node.error
    _check_members(node, inside)
    inside.check_needed(artifact)
    entries = [member.entry for member in inside.changed(node)]
    if not entries:
        return _unchanged(node, signing, lambda: plan_one(artifact, signing, planner))
    check_rebuild(_container(node), entries, drop_signature=signing.run.settings.replace)
    if artifact.format is not None:
        file = open_signable(artifact.path, artifact.format, replacing=signing.run.settings.replace)
        guard(file)
        return planned(artifact, planner.plan(file))
    check_kind(node)
    return planned(artifact, sha256_of(artifact.path))


def _tree(signing: Signing) -> Inside:
    inside = signing.run.inside
    if inside is None:
        raise ValueError("the run has no tree of containers")
    return inside


def _check_members(node: ContainerNode, inside: Inside) -> None:
    """Raise KspSignError (INSIDE_FAILED) for a file in the container that is known to have failed."""
    found = inside.failed(node)
    if found is not None:
        member, error = found
        raise KspSignError(
            f"{member.entry}, which is in it, failed: {error.message}",
            code="INSIDE_FAILED",
            remedy=f"The container was left as it was. {error.remedy} Or exclude the file from --inside "
            f"(!{node.artifact.name}/{member.entry}).",
        )


def _check_content(node: ContainerNode, held: LockedTarget, sha256: str) -> None:
    """Raise ArtifactError when the container, whose content has this sha256 now, is not what its files were taken out
    of. This run may have signed it by another name (hard link) meanwhile, which leaves this one its content."""
    before, now = node.state, DiskState.of(held.path)
    if before is None or not (before.is_unchanged(now) or (before.lasts(now) and sha256 == node.sha256)):
        raise ArtifactError(
            Hresult.ERROR_SHARING_VIOLATION,
            "the file was changed by another process since what is inside was taken out",
            remedy="Sign after the last build step that writes the file.",
        )


def _container(node: ContainerNode) -> Container:
    return node.opened or open_container(node.artifact.path, BOUNDS)


def _written_again(
    node: ContainerNode, changed: Sequence[ContainerMember], inside: Inside, *, drop_signature: bool
) -> Path:
    """The path of the container with the changed files in it, read back: each is what was signed."""
    container = _container(node)
    made = inside.folder.new_path(node.artifact.path.suffix.lower())
    contents = {member.entry: inside.paths[member.worked_on] for member in changed}
    rebuild(container, contents, made, drop_signature=drop_signature)
    written = open_container(made, BOUNDS)
    for member in changed:
        digest = hashlib.sha256()
        for piece in written.pieces(written.by_name[member.entry]):
            digest.update(piece)
        if digest.hexdigest() != inside.of(member).sha256:
            raise ArtifactError(Hresult.ERROR_BAD_FORMAT, f"{member.entry} is not what was written to the container")
    return made


def _replace(held: LockedTarget, node: ContainerNode, signing: Signing, engine: Engine, sha256: str) -> FileOutcome:
    """Put the container, which has no place for a signature, in the target's place."""
    started = time.perf_counter()
    copy = held.create_copy()
    shutil.copyfile(held.artifact.path, copy)
    verification = own_verdict(node, signing.verifier, node.artifact.names, copy)
    if verification.error is not None:
        return checked(node.artifact, verification, {})
    made = SignedCopy(node.artifact, copy, Digest({}, sha256), {})
    signing.run.shared.targets.commit(held, made)
    signing.committed(node.artifact, made, engine)
    seconds = {"embed": round(time.perf_counter() - started, 6)}
    return replace(rebuilt(node.artifact, verification, sha256), seconds=seconds)


def _unchanged(node: ContainerNode, signing: Signing, step: Callable[[], FileOutcome]) -> FileOutcome:
    """The outcome of a container in which nothing changes."""
    artifact = node.artifact
    if artifact.format is not None:
        return proved(step(), node)
    verification = own_verdict(node, signing.verifier, artifact.names)
    return proved(
        skipped(artifact, verification) if verification.error is None else checked(artifact, verification, {}), node
    )
