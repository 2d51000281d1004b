"""Takes signatures out of files, wholly or in part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.signable import BundledFiles, Digest, RedigestedFile, SignableFile
from kspsign.batch.finish import publish
from kspsign.batch.outcomes import removed
from kspsign.batch.run import Run
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select
from kspsign.model.checks import CheckName
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, Finding
from kspsign.signing.copies import LockedTarget, SignedCopy, Targets
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.verifying import read_signatures

_LOST: Final[frozenset[CheckName]] = frozenset({"trailing-data", "certificate-table", "signature-block", "reserve"})
"""What is wrong around a signature and would be lost with it, although it is unknown what it is."""


class Removal(NamedTuple):
    """What is taken out: the signatures, else of each the `certificates` but the signer's and the `unsigned_attributes`
    (timestamps, further signatures)."""

    signatures: bool = True
    certificates: bool = False
    unsigned_attributes: bool = False

    def left(self, file: SignableFile) -> tuple[bytes, ...]:
        """What stays of the file's signatures. Raises TrustError for one that can't be read."""
        if self.signatures:
            return ()
        reduce = partial(
            file.profile.reduce, certificates=self.certificates, unsigned_attributes=self.unsigned_attributes
        )
        return tuple(map(reduce, file.signatures))


def remove_files(run: Run, chosen: Callable[[Run], Run] = select, removal: Removal | None = None) -> Report:
    """Take `removal` (default: the signatures) out of every file that `chosen` gives the run."""
    with run.to_its_end():
        admit_outputs(run)
        files = chosen(run)
        what, targets = removal or Removal(), run.shared.targets
        Batch(files).work(lambda artifact: remove_one(artifact, what, targets), LOCAL_SLOTS)
    return publish(run)


def remove_one(artifact: Artifact, removal: Removal, targets: Targets) -> FileOutcome:
    """The path of one artifact: its copy is written without signatures and read back, then takes its place.

    Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, and for one with unknown data around its signature;
    TrustError for a signature that can't be read.
    """
    with targets.hold(artifact) as held:
        held.check_writable()
        file = open_signable(artifact.path, artifact.format)
        if not (file.signatures or _is_signed_inside(file)):
            raise ArtifactError(
                Hresult.TRUST_E_NOSIGNATURE,
                "the file carries no signature to take out",
                remedy="Leave the file out: it is unsigned already.",
            )
        signatures, _ = read_signatures(file)
        digest: Digest = file.digest_to_check(signatures)
        left = removal.left(file)
        _check_nothing_is_lost(file.structure(digest, signatures))
        if not left and isinstance(file, BundledFiles) and _is_signed_inside(file):
            for inner in file.inner_files(digest):
                _check_nothing_is_lost(inner.file.structure(inner.digest, read_signatures(inner.file)[0]))
        copy = _write(held, file, digest, left)
        targets.commit(held, copy.copy)
        return removed(artifact, digest.sha256, copy.sha256)


def _is_signed_inside(file: SignableFile) -> bool:
    """Whether a signature that is not the file's own is taken out with them: of a WiX bundle its engine's."""
    return isinstance(file, RedigestedFile) and not file.keeps_digest


class _Written(NamedTuple):
    copy: SignedCopy
    sha256: str


def _check_nothing_is_lost(structure: Iterable[Finding]) -> None:
    for finding in structure:
        if finding.check in _LOST and finding.hresult is not None:
            raise ArtifactError(finding.hresult, f"{finding.name}: {finding.detail}")


def _write(held: LockedTarget, file: SignableFile, digest: Digest, left: tuple[bytes, ...]) -> _Written:
    """The copy with `left` as its signatures; raises ArtifactError (ERROR_BAD_FORMAT) when it is not read back as what
    it should be: without signatures, or with these, over the same content."""
    path = held.create_copy()
    with path.open("r+b") as target:
        file.embed(digest, left, target)
    written = open_signable(path, held.artifact.format)
    found: Digest = written.digest(digest.values)
    keeps = not isinstance(file, RedigestedFile) or file.keeps_digest
    if written.signatures != left or (keeps and found.values != digest.values):
        raise ArtifactError(
            Hresult.ERROR_BAD_FORMAT,
            "without its signature the file would not be what was signed; it was left as it is",
            remedy="Build the file again without signing it.",
        )
    return _Written(SignedCopy(held.artifact, path, digest, {}), found.sha256)
