"""Whether a signature may be put into a file: its place is free, it does no harm, and it can be apart from the file."""

from __future__ import annotations

from kspsign.authenticode.profile import DetachableProfile, FileSignature
from kspsign.authenticode.signable import AdvisedFile, BundledFiles, GuardedFile, OccupiedFile, SignableFile
from kspsign.model.errors import ArtifactError, KspSignError
from kspsign.model.hresults import Hresult


def occupant_of(file: SignableFile) -> str | None:
    """The unknown data in the place of the file's signature, None when there is none."""
    return file.occupant if isinstance(file, OccupiedFile) else None


def guard(file: SignableFile) -> None:
    """Raise ArtifactError when a signature would break what the file is for."""
    if isinstance(file, GuardedFile):
        file.guard()


def occupied(occupant: str, file: SignableFile) -> KspSignError:
    """Why a file without a readable signature is not signed: an unreadable signature is not the same as none."""
    return KspSignError(
        f"in the place of its signature it holds {occupant}",
        code="ALREADY_SIGNED",
        remedy=file.occupant_remedy
        if isinstance(file, AdvisedFile)
        else "Find out which build step put it there. Sign the file without it, or overwrite it with --replace.",
    )


def detachable(file: SignableFile, *, as_pkcs7: bool = False) -> DetachableProfile[FileSignature]:
    """The profile of signatures that can be apart from their file, `as_pkcs7` of those that are files of their own.
    Raises ArtifactError (ERROR_NOT_SUPPORTED)."""
    if not isinstance(file.profile, DetachableProfile) or (as_pkcs7 and not file.profile.is_pkcs7):
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "the signatures of this format are not PKCS#7 and can't be apart from their file",
            remedy="Sign the file in one step (kspsign sign).",
        )
    return file.profile


def check_place(file: SignableFile, *, append: bool, replace: bool) -> None:
    """Raise KspSignError (ALREADY_SIGNED) where a signature made elsewhere has no place: the file is signed, or holds
    unknown data there; ArtifactError where one would do harm, or where files inside must be signed first."""
    occupant = None if replace else occupant_of(file)
    if occupant is not None:
        raise occupied(occupant, file)
    if file.signatures and not (append or replace):
        raise KspSignError(
            "it is signed already",
            code="ALREADY_SIGNED",
            remedy="Choose --append (second signature) or --replace, or take the file as it was before it was signed.",
        )
    guard(file)
    if isinstance(file, BundledFiles) and file.unsigned_inner():
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "it has unsigned files inside (packages, an engine), which must be signed first: that takes more than one "
            "signature",
            remedy="Sign it in one step (kspsign sign); or sign the files inside, bundle them again (MakeAppx bundle, "
            "wix burn reattach) and sign the bundle.",
        )
