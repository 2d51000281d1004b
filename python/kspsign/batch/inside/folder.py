"""The private folder that files are taken out to. One that a killed run left is removed by the next run."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Final, Self

from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import PrerequisiteError
from kspsign.programs.client_certificate_file import PREFIX

_OURS: Final = f"{PREFIX}inside-"
_LOCK: Final = "in-use"
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class PrivateFolder:
    """A folder with short plain names that only this user may look into; safe to share between threads."""

    def __init__(self, below: Path | None) -> None:
        self._below = below or Path(tempfile.gettempdir())
        self._numbers, self._lock = itertools.count(1), threading.Lock()

    def new_path(self, suffix: str) -> Path:
        """A path that nothing has yet, with the extension `suffix` (in lower case) where that is plain."""
        with self._lock:
            number = next(self._numbers)
        return self.path / (f"{number}{suffix}" if set(suffix[1:]) <= _PLAIN else str(number))

    def __enter__(self) -> Self:
        """Create it. Raises PrerequisiteError when that can't be done."""
        for left in self._below.glob(f"{_OURS}*"):
            _remove_abandoned(left)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_OURS, dir=self._below))
            self._held = (self.path / _LOCK).open("xb")
        except OSError as refused:
            raise PrerequisiteError(
                f"can't create a folder for what is inside the containers: {refused}",
                code="TEMP_FOLDER_UNUSABLE",
                remedy="Give this user write access to the folder for temporary files (TMPDIR, Agent.TempDirectory), "
                "and room on its disk.",
            ) from refused
        try_lock(self._held)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it with all that is in it."""
        self._held.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove the folder of a run that is gone; the lock of one that goes on is held."""
    with contextlib.suppress(OSError):
        with (folder / _LOCK).open("r+b") as lock:
            gone = try_lock(lock) is True
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
