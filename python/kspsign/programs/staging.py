"""A private folder with short plain names, so that no path of a build reaches a tool's command line.

The tools have limits that paths of a build exceed: 260 characters, names outside their code page, and a command
line of 32,767 characters for a whole batch. Here file 7 is `7.exe`: only the extension, which some SIPs require,
is kept.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Self

from kspsign.programs.client_certificate_file import PREFIX

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class StagingFolder:
    """The folder and its names; safe to share between threads."""

    def __init__(self, below: Path | None) -> None:
        self._private = tempfile.TemporaryDirectory(prefix=PREFIX, dir=below, ignore_cleanup_errors=True)
        self.folder = Path(self._private.name)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def new_name(self, file: Path) -> str:
        """A name that nothing in the folder had yet, with the extension of `file` where it is plain."""
        with self._lock:
            number = next(self._numbers)
        extension = file.suffix.lower()
        return f"{number}{extension}" if set(extension[1:]) <= _PLAIN else str(number)

    def copy(self, file: Path) -> str:
        """The name of a copy of `file` that may be changed."""
        name = self.new_name(file)
        shutil.copyfile(file, self.folder / name)
        return name

    def borrow(self, file: Path) -> str:
        """A name for `file` that is only read: a link where the file system has them, else a copy.

        A hard link is made only on Windows, where a symbolic one takes a privilege: elsewhere it would change the times
        of the file, which then looks as if it had been written to.
        """
        name = self.new_name(file)
        try:
            if sys.platform == "win32":
                os.link(file, self.folder / name)
            else:
                (self.folder / name).symlink_to(file.absolute())
        except OSError:
            shutil.copyfile(file, self.folder / name)
        return name

    def remove(self, name: str) -> None:
        """Remove the file; one that a virus scanner still holds is removed with the folder."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except PermissionError:
            return

    def close(self) -> None:
        """Remove the folder."""
        self._private.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
