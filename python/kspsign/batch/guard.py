"""The per-file boundary: what happens to one file stops no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kspsign.batch.outcomes import failed
from kspsign.model.errors import ArtifactError, KspSignError, is_out_of_memory
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact
from kspsign.signing.copies import access_error
from kspsign.signing.shared_state import SharedState

Made = TypeVar("Made")


def guarded(artifact: Artifact, shared: SharedState, step: Callable[[], Made]) -> Made | FileOutcome:
    """The per-file boundary: whatever happens to one file is its outcome and stops no other, unless that is asked."""
    made: Made | FileOutcome
    try:
        with shared.slots:
            shared.check()
            made = step()
    except KspSignError as error:
        made = failed(artifact, error)
    except Exception as error:  # noqa: BLE001 - one file's surprise must not lose the others' outcomes
        made = failed(artifact, surprise(error))
    if isinstance(made, FileOutcome) and made.error is not None and made.tried:
        shared.breaker.failed(artifact.name, made.error)
    return made


def surprise(error: Exception) -> ArtifactError:
    """An error outside our tree, as one of the file."""
    if is_out_of_memory(error):
        return ArtifactError(Hresult.E_OUTOFMEMORY, "this process ran out of memory")
    if isinstance(error, OSError):
        return access_error(error)
    return ArtifactError(
        Hresult.ERROR_BAD_FORMAT,
        f"unexpected {type(error).__name__}: {error}",
        remedy="This is a defect of kspsign: report it with the file.",
    )
