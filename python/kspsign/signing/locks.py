"""Files to be signed: held for one process alone, and replaced as a whole (flock; Windows sharing modes)."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_REPLACE_ATTEMPTS = 50
_REPLACE_PAUSE_SECONDS = 0.04


def may_write(path: Path) -> bool:
    """Whether this user has the right to write to `path`; one without it may still look at it, locked."""
    return os.access(path, os.W_OK)


if sys.platform == "win32":
    import ctypes

    _GENERIC_READ, _GENERIC_WRITE, _DELETE = 0x80000000, 0x40000000, 0x00010000
    _SHARE_READ, _SHARE_DELETE = 1, 4
    _OPEN_EXISTING = 3
    _INVALID_HANDLE = ctypes.c_void_p(-1).value

    class Exclusive:
        """`path`, opened once with the rights that replacing it takes; raises OSError when another process forbids it.

        It is not kept open, since that would be in the replacement's way.
        """

        def __init__(self, path: Path) -> None:
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            kernel.CreateFileW.restype = ctypes.c_void_p
            write = _GENERIC_WRITE if may_write(path) else 0
            access, sharing = _GENERIC_READ | write | _DELETE, _SHARE_READ | _SHARE_DELETE
            handle = kernel.CreateFileW(ctypes.c_wchar_p(str(path)), access, sharing, None, _OPEN_EXISTING, 0, None)
            if handle == _INVALID_HANDLE:
                raise ctypes.WinError(ctypes.get_last_error())
            kernel.CloseHandle(ctypes.c_void_p(handle))

        def release(self) -> None:
            """Nobody is kept out."""

        def close(self) -> None:
            """Nothing is open."""

    def replace(copy: Path, target: Path) -> None:
        """Put `copy` in the place of `target`; a virus scanner that looks into either for a moment is waited for."""
        for _ in range(_REPLACE_ATTEMPTS):
            try:
                copy.replace(target)
            except PermissionError:
                time.sleep(_REPLACE_PAUSE_SECONDS)
            else:
                return
        copy.replace(target)

else:
    import fcntl

    class Exclusive:
        """An advisory lock on `path`; raises ArtifactError (ERROR_SHARING_VIOLATION) when another has it.

        Where the file system knows no locks, the check before the replacement still holds.
        """

        def __init__(self, path: Path) -> None:
            # Opened for writing, a running program is known by it (ETXTBSY).
            self._file = path.open("r+b" if may_write(path) else "rb", buffering=0)
            try:
                locked = try_lock(self._file)
            except BaseException:
                self._file.close()
                raise
            if locked is False:
                self._file.close()
                raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "another process holds a lock on the file")

        def release(self) -> None:
            """Others may lock it from now on."""
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

        def close(self) -> None:
            """Close what was locked: when it was replaced, the system frees it now, which takes a while if it is
            large."""
            self._file.close()

    def replace(copy: Path, target: Path) -> None:
        """Put `copy` in the place of `target`."""
        copy.replace(target)
