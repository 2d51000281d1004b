"""Target files: locked while they are signed, replaced atomically, never written in place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from kspsign.authenticode.io.snapshot import LARGE
from kspsign.authenticode.signable import Digest
from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import ArtifactError, CancelledError
from kspsign.model.hresults import Hresult
from kspsign.model.values import COPY_PREFIX, Artifact
from kspsign.signing.locks import Exclusive, may_write, replace

_BUSY = frozenset({errno.ETXTBSY, errno.EBUSY, errno.EWOULDBLOCK})
_NO_ROOM_ASIDE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_WINDOWS_SHARING = frozenset({32, 33})  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
_LOCK_PAUSE_SECONDS = 0.005
_NAME_END = 100
EARLY_COPIES = 2
"""How many targets may have a copy before their signature arrives: such copies wait for services and take disk
space."""


class SignedCopy(NamedTuple):
    """A signed temporary file next to its target, not yet verified; `seconds` by step ("sign", ...).

    `hashes` are what was found of the target. `signed_digest` is what the key store signed, empty when a tool asked it.
    `timestamp_server` is the URL of the server that stamped it, None when there is no timestamp or a tool chose.
    `certificate` is the thumbprint of the certificate whose signature was added; None when none was. `inner_digests`
    are what the key store signed in addition: of files inside, which were signed first, or of the same file.
    `request_ids` are what the key store's log calls the requests that it was asked by, where it says so. `use` is the
    signature's id in the ledger where a tool asked for it.
    """

    artifact: Artifact
    path: Path
    hashes: Digest
    seconds: dict[str, float]
    signed_digest: bytes = b""
    timestamp_server: str | None = None
    certificate: str | None = None
    inner_digests: tuple[bytes, ...] = ()
    request_ids: tuple[str, ...] = ()
    use: str = ""


class LockedTarget:
    """A target that this process holds: its state when it was locked, and the copy next to it once there is one.

    `artifact` is what is to be signed: the target, or what was made of it meanwhile.
    """

    def __init__(self, artifact: Artifact, state: os.stat_result) -> None:
        self.artifact = artifact
        self.path = artifact.path
        self.state = state
        self.copy: Path | None = None
        self.committed = False
        self.early = False
        self._handle: IO[bytes] | None = None

    def take_content(self, made: Path) -> None:
        """What is to be signed, and to take the target's place then, is the content of `made` in another folder."""
        self.artifact = self.artifact._replace(real=str(made), size=made.stat().st_size)

    def create_copy(self) -> Path:
        """The copy next to the target, empty when it is new; it is locked while it is held, so that no other run
        removes it.

        Open it as "r+b": ext4 brings a file that was truncated, even an empty one, to the disk when it is closed.
        """
        if self.copy is not None:
            return self.copy
        path = self.path
        while True:
            # The name keeps its extension, by which SignTool detects some formats.
            copy = path.with_name(f"{COPY_PREFIX}{secrets.token_hex(4)}.{_name_end(path.name)}")
            # Read-only: on Windows a file that is open for writing can't be verified.
            self._handle = open(copy, "rb", buffering=0, opener=_create)  # noqa: SIM115 - Path's has no opener
            self.copy = copy
            while try_lock(self._handle) is False:
                time.sleep(_LOCK_PAUSE_SECONDS)
            if os.fstat(self._handle.fileno()).st_nlink:  # no run that cleans up was faster
                return copy
            self._handle.close()

    def check_writable(self) -> None:
        """Raise ArtifactError (ERROR_ACCESS_DENIED) when this user has no right to write to the target.

        A folder that may be written to would let its file be replaced all the same: whoever took the right away did
        not mean that.
        """
        if not may_write(self.path):
            raise ArtifactError(Hresult.ERROR_ACCESS_DENIED, "the file is read-only")

    def check_unchanged(self) -> None:
        """Raise ArtifactError (ERROR_SHARING_VIOLATION) when the target is not what it was when it was taken."""
        state, now = self.state, self.path.stat()
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (state.st_size, state.st_mtime_ns, state.st_ino):
            raise ArtifactError(
                Hresult.ERROR_SHARING_VIOLATION,
                "the file was changed by another process while it was signed; it was left as that process wrote it",
                remedy="Sign after the last build step that writes the file.",
            )

    def release(self) -> None:
        """Close the copy: on Windows an open file can't be moved or removed."""
        if self._handle is not None:
            self._handle.close()
        self._handle = None

    def remove_copy(self) -> None:
        """The copy is not needed, or has replaced the target."""
        self.release()
        if self.copy is not None and not self.committed:
            self.copy.unlink(missing_ok=True)


@dataclass(slots=True, eq=False)
class _Lock:
    target: Exclusive
    holders: int = 0


class Targets:
    """What this run holds and replaces, until it is abandoned; safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[LockedTarget] = set()
        self._locks: dict[tuple[int, int], _Lock] = {}
        self._committing = 0
        self._abandoned = False
        self._early = threading.BoundedSemaphore(EARLY_COPIES)

    @contextlib.contextmanager
    def hold(self, artifact: Artifact) -> Iterator[LockedTarget]:
        """Lock the artifact for signing; the copy next to it is removed at the end if it still exists.

        Raises ArtifactError: ERROR_SHARING_VIOLATION when another process holds it (Windows sharing; elsewhere an
        advisory lock or a running program).
        """
        held = LockedTarget(artifact, artifact.path.stat())
        with self._locked(held):
            try:
                yield held
            finally:
                held.remove_copy()
                if held.early:
                    self._early.release()

    def may_copy_while_hashing(self, held: LockedTarget) -> bool:
        """Whether `held` may have its copy from now on, before its signature is asked for."""
        held.early = held.early or (held.state.st_size >= LARGE and self._early.acquire(blocking=False))
        return held.early

    @contextlib.contextmanager
    def _locked(self, held: LockedTarget) -> Iterator[None]:
        """Names of one file (hard links) have one lock, and each its own copy."""
        key = held.state.st_dev, held.state.st_ino
        with self._changed:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = _Lock(Exclusive(held.path))
            lock.holders += 1
            self._held.add(held)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(held)
                lock.holders -= 1
                if not lock.holders:
                    del self._locks[key]
                    lock.target.release()
            if not lock.holders:
                lock.target.close()

    def commit(self, held: LockedTarget, copy: SignedCopy) -> None:
        """Put the verified copy in the target's place, with the target's mode and, where it may, its owner.

        Raises ArtifactError (ERROR_SHARING_VIOLATION) when the target changed since it was read: its bytes stay;
        CancelledError when the run was abandoned.
        """
        with self._changed:
            if self._abandoned:
                raise CancelledError
            self._committing += 1
        try:
            _replace(held, copy)
            held.committed = True
        finally:
            with self._changed:
                self._committing -= 1
                self._changed.notify_all()

    def abandon(self, seconds: float) -> frozenset[str]:
        """Replace no more targets and remove the copies in progress; waits at most `seconds`.

        Returns the names of the artifacts in hand that were replaced before.
        """
        with self._changed:
            self._abandoned = True
            self._changed.wait_for(lambda: not self._committing, timeout=seconds)
            in_hand = tuple(self._held)
        for held in in_hand:
            with contextlib.suppress(OSError):
                held.remove_copy()
        return frozenset(held.artifact.name for held in in_hand if held.committed)


def _name_end(name: str) -> str:
    """The last characters of a file's name, so few that a prefix fits in front: file systems limit names to 255 bytes
    or UTF-16 units, and a character may take four bytes."""
    return os.fsencode(name)[-_NAME_END:].decode("utf-8", "ignore")


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)


def _replace(held: LockedTarget, copy: SignedCopy) -> None:
    state = held.state
    copy.path.chmod(stat.S_IMODE(state.st_mode))
    if sys.platform != "win32":
        with contextlib.suppress(PermissionError):
            os.chown(copy.path, state.st_uid, state.st_gid)
    held.release()
    held.check_unchanged()
    replace(copy.path, held.path)


def preallocate(file: BinaryIO, size: int) -> None:
    """Let `file` have `size` bytes of the disk from now on, where the system can do that.

    A full disk is noticed before a signature is spent; and ext4, which brings a file to the disk that takes another's
    place, does so while nothing waits.
    """
    if sys.platform not in {"win32", "darwin"}:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as refused:
            if refused.errno not in _NO_ROOM_ASIDE:
                raise


def access_error(error: OSError) -> ArtifactError:
    """The operating system's refusal in Windows' terms."""
    sharing = getattr(error, "winerror", None) in _WINDOWS_SHARING or error.errno in _BUSY
    hresult = Hresult.ERROR_SHARING_VIOLATION if sharing else Hresult.ERROR_ACCESS_DENIED
    message = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return ArtifactError(hresult, f"the disk is full: {message}", remedy="Free space; the file was not changed.")
    return ArtifactError(hresult, f"the file can't be read or replaced: {message}")
