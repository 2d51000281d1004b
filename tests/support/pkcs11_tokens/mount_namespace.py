"""Folders that only some processes see: daemons with fixed paths run without touching those of the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_USER: Final = () if os.geteuid() == 0 else ("--user", "--map-root-user")
_SCRIPT = 'for place; do mount -t tmpfs tmpfs "$place" || exit 1; done; echo ready; exec cat'


class MountNamespace:
    """A mount namespace in which `places` are empty folders, until the end of its `with` block."""

    def __init__(self, *places: str) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--ipc", *_USER, "sh", "-c", _SCRIPT, "sh", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.kill()
        self._holder.communicate()

    def entering(self, folder: Path) -> tuple[str, ...]:
        """What stands before a command that runs in this namespace, in `folder`."""
        user = ("--user", "--preserve-credentials") if _USER else ()
        return ("nsenter", f"--target={self._holder.pid}", "--mount", "--ipc", *user, "--", "env", f"--chdir={folder}")
