"""Locks on files of ours, which another process respects (flock; on Windows a locked byte)."""

from __future__ import annotations

import errno
import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 40  # beyond any content: what is locked on Windows can be neither read nor written

    def try_lock(file: IO[Any]) -> bool | None:
        """Lock an open file of ours until it is closed or the process ends; False when another process has it, None
        where the file system knows no locks."""
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    _NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})  # as some network file systems say

    def try_lock(file: IO[Any]) -> bool | None:
        """Lock an open file of ours until it is closed or the process ends; False when another process has it, None
        where the file system knows no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as unsupported:
            if unsupported.errno not in _NO_LOCKS:
                raise
            return None
        return True
