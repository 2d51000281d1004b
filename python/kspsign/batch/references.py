"""Files whose hashes others state (ReferencingFile): what signing made of them is restated, all else is refused."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from kspsign.authenticode.formats import SIGNED_AFTER_OTHERS, detect_format, is_taken_by_name, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.references import FileReference, ReferencingFile, SizedDigest, looked_up
from kspsign.authenticode.signable import Digest, Glimpse, RestorableFile, SignableFile
from kspsign.batch.run import Run
from kspsign.batch.select import LINK_OUT
from kspsign.batch.tree import identity_of
from kspsign.model.errors import ArtifactError, KspSignError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact

_CHUNK = 1 << 20
_IN_ORDER = (
    "Create the manifest again after the last change of its files (publish, mage -update), or sign files and manifest "
    "in one run."
)


class ReferencedFiles:
    """The files of a run that other files of it state hashes of; safe to share between threads."""

    def __init__(self, run: Run) -> None:
        self._artifacts: Mapping[str, Artifact] = {identity_of(artifact.real): artifact for artifact in run.artifacts}
        self._record = run.record
        folder = run.settings.folder.absolute()
        left = (out.path for out in run.record.left_out if out.reason.startswith(LINK_OUT))
        self._links_out = frozenset(_place(folder / name) for name in left)

    def check(self, file: SignableFile) -> None:
        """Raise ArtifactError when `file` states what no signature of this run can make true: before one is spent."""
        self.restate(file)

    def restate(self, file: SignableFile) -> SignableFile:
        """The file with what this run made of those that it lists, itself when that is what it says already.

        Raises ArtifactError for a listed file that is not there, could not be signed, or is another one than the file
        was created for, or lacks a signature of its own, or would have been signed but for the link that it is:
        ERROR_FILE_NOT_FOUND, TRUST_E_BAD_DIGEST, TRUST_E_NOSIGNATURE.
        """
        if not isinstance(file, ReferencingFile):
            return file
        states: dict[str, SizedDigest] = {}
        for reference, actual in looked_up(file.references()):
            difference = reference.difference(actual)
            self._check_signed(reference)
            if actual is None:
                missing = f"it lists {reference.name}, which is not there"
                raise _refusal(reference, missing, Hresult.ERROR_FILE_NOT_FOUND)
            self._check_own_signature(reference)
            self._check_link(reference)
            if difference is None:
                continue
            if not self._is_signed_form(reference):
                raise _refusal(reference, f"{difference}, and not since it was signed", Hresult.TRUST_E_BAD_DIGEST)
            states[reference.name] = actual
        return file.restated(states) if states else cast("SignableFile", file)

    def _artifact(self, reference: FileReference) -> Artifact | None:
        return self._artifacts.get(_place(reference.path))

    def _outcome(self, artifact: Artifact) -> FileOutcome | None:
        return self._record.listed.get(artifact.name) or self._record.outcomes.get(artifact.name)

    def _check_signed(self, reference: FileReference) -> None:
        """Raise ArtifactError for a file that was to be signed first, and was not."""
        artifact = self._artifact(reference)
        outcome = None if artifact is None else self._outcome(artifact)
        if outcome is not None and outcome.outcome == "failed":
            raise ArtifactError(
                Hresult.TRUST_E_FAIL,
                f"{reference.name}, which it lists, could not be signed: what it would state of it is not settled",
                remedy=f"Correct what is wrong with {reference.name}, and run again.",
            )

    def _check_own_signature(self, reference: FileReference) -> None:
        """Raise ArtifactError for a file that must be signed itself, and neither is nor will be in this run."""
        if reference.signed_as is None or self._artifact(reference) is not None:
            return
        if not open_signable(reference.path, reference.signed_as).signatures:
            raise ArtifactError(
                Hresult.TRUST_E_NOSIGNATURE,
                f"{reference.name}, which it lists, is not signed, and not among the files of this run",
                remedy=f"Name {reference.name} in the same run: it is signed first.",
            )

    def _check_link(self, reference: FileReference) -> None:
        """Raise ArtifactError for a file that was left out of this run because it is a link out of its folder, and is
        not signed: users would get an unsigned file with a signed manifest."""
        if _place(reference.path) in self._links_out and _lacks_signature(reference.path):
            real = os.path.realpath(reference.path)
            raise ArtifactError(
                Hresult.TRUST_E_NOSIGNATURE,
                f"{reference.name}, which it lists, is not signed, and would not be: {LINK_OUT} leads to it",
                remedy=f"Put the file itself in the place of the link, or sign {real} first.",
            )

    def _is_signed_form(self, reference: FileReference) -> bool:
        """Whether the file of this run is the one that is stated, but for a signature: that of this run, or of one
        before, which was cut off."""
        artifact = self._artifact(reference)
        if artifact is None or artifact.format is None:
            return False
        outcome = self._outcome(artifact)
        stated = reference.stated.digest.hex()
        if outcome is not None and outcome.outcome == "signed" and outcome.sha256_before == stated:
            return True
        # What else signing changes in a manifest can't be undone; its identity is compared when it is restated.
        return artifact.format in SIGNED_AFTER_OTHERS or _was(artifact, reference)


def stating_files(artifacts: Sequence[Artifact]) -> dict[str, frozenset[str]]:
    """By its name, for each file that states hashes of others, the names of those that it lists, by whatever links:
    they are signed before it. In a container none is signed (Opener)."""
    stating = [artifact for artifact in artifacts if _turn(artifact) and artifact.container is None]
    by_place = {identity_of(artifact.real): artifact for artifact in artifacts} if stating else {}
    found = {}
    for artifact in stating:
        listed = (by_place.get(_place(reference.path)) for reference in _references(artifact))
        before = (other for other in listed if other is not None and _turn(other) < _turn(artifact))
        found[artifact.name] = frozenset(other.name for other in before)
    return found


def _references(artifact: Artifact) -> Sequence[FileReference]:
    """What the file lists; nothing where it can't be read, which its own step meets too."""
    try:
        file = open_signable(artifact.path, artifact.format)
        return file.references() if isinstance(file, ReferencingFile) else ()
    except (KspSignError, OSError):
        return ()


def _place(path: Path) -> str:
    """What all paths by which links lead to a file have in common."""
    return identity_of(os.path.realpath(path))


def _lacks_signature(path: Path) -> bool:
    """Whether the file is one that is signed wherever it is found, and has no signature."""
    try:
        format_ = detect_format(Glimpse.of(Snapshot(path, keep=False)))
        if format_ is None or is_taken_by_name(format_, path.suffix.lower()):
            return False
        return not open_signable(path, format_).signatures
    except KspSignError:
        return True


def _turn(artifact: Artifact) -> int:
    return 0 if artifact.format is None else SIGNED_AFTER_OTHERS.get(artifact.format, 0)


def _was(artifact: Artifact, reference: FileReference) -> bool:
    """Whether the file without its signatures is, or can have been, the one that is stated."""
    file = open_signable(artifact.path, artifact.format)
    if not file.signatures:
        return False
    stated = reference.stated
    if isinstance(file, RestorableFile):
        return stated.digest in file.original_digests(stated.size, reference.algorithm)
    digest: Digest = file.digest([])
    hasher = hashlib.new(reference.algorithm)
    with tempfile.TemporaryFile() as target:
        file.embed(digest, (), cast("BinaryIO", target))
        target.seek(0)
        while piece := target.read(_CHUNK):
            hasher.update(piece)
    return hasher.digest() == stated.digest


def _refusal(reference: FileReference, what: str, hresult: Hresult) -> ArtifactError:
    stated = f"{reference.algorithm.value} {reference.stated.digest.hex()}, {reference.stated.size} bytes"
    return ArtifactError(hresult, f"{what} (stated: {stated})", remedy=_IN_ORDER)
