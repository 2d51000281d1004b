"""The target of a signature: held while it is signed, replaced atomically, never written in place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import COPY_PREFIX, Artifact, SignedCopy
from kspsign.signing.exclusive import exclusive, replace

_BUSY = frozenset({errno.ETXTBSY, errno.EBUSY, errno.EWOULDBLOCK})
_WINDOWS_SHARING = frozenset({32, 33})  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION


@dataclass(frozen=True, slots=True)
class Held:
    """A target that this process holds: its state when it was taken, and the name of the copy beside it."""

    artifact: Artifact
    state: os.stat_result
    copy: Path


@contextlib.contextmanager
def hold(artifact: Artifact) -> Iterator[Held]:
    """Hold the artifact for signing; the copy beside it is removed at the end if it is still there.

    Raises ArtifactError: ERROR_ACCESS_DENIED when the file is read-only, ERROR_SHARING_VIOLATION when another
    process holds it (Windows sharing; elsewhere an advisory lock or a running program).
    """
    path = artifact.path
    state = path.stat()
    # As Windows does; root would be let through elsewhere.
    if not state.st_mode & stat.S_IWUSR:
        raise ArtifactError(Hresult.ERROR_ACCESS_DENIED, "the file is read-only")
    # The name keeps its end: SignTool tells some formats by the extension.
    copy = path.with_name(f"{COPY_PREFIX}{secrets.token_hex(4)}.{path.name[-100:]}")
    with exclusive(path):
        try:
            yield Held(artifact, state, copy)
        finally:
            copy.unlink(missing_ok=True)


def commit(held: Held, copy: SignedCopy) -> None:
    """Put the verified copy in the target's place, with the target's mode and, where it may, its owner.

    Raises ArtifactError (ERROR_SHARING_VIOLATION) when the target changed since it was read: its bytes stay.
    """
    path, state = held.artifact.path, held.state
    now = path.stat()
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (state.st_size, state.st_mtime_ns, state.st_ino):
        raise ArtifactError(
            Hresult.ERROR_SHARING_VIOLATION,
            "the file was changed by another process while it was signed; it was left as that process wrote it",
            remedy="Sign after the last build step that writes the file.",
        )
    copy.path.chmod(stat.S_IMODE(state.st_mode))
    if sys.platform != "win32":
        with contextlib.suppress(PermissionError):
            os.chown(copy.path, state.st_uid, state.st_gid)
    replace(copy.path, path)


def access_error(error: OSError) -> ArtifactError:
    """The operating system's refusal in Windows' terms."""
    sharing = getattr(error, "winerror", None) in _WINDOWS_SHARING or error.errno in _BUSY
    hresult = Hresult.ERROR_SHARING_VIOLATION if sharing else Hresult.ERROR_ACCESS_DENIED
    message = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return ArtifactError(hresult, f"the disk is full: {message}", remedy="Free space; the file was not changed.")
    return ArtifactError(hresult, f"the file can't be read or replaced: {message}")
