"""The launchers: each starts this installation of kspsign with the settings file of its folder."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import kspsign
from kspsign.cli.drop_in import CONFIG_VARIABLE, DROP_INS
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ConfigurationError

MARK: Final = b"Written by kspsign shims"
"""In every launcher: nothing else is replaced."""
INTERPRETER: Final = ("-I", "-B", "-X", "utf8")
"""Python's options: neither the working folder nor PYTHON* variables may change what runs."""


def write_launchers(folder: Path, settings: Path) -> tuple[Path, ...]:
    """Write a launcher for each command of DROP_INS into `folder`; they read `settings` unless KSPSIGN_CONFIG is set.

    Launchers of an earlier call are replaced. Raises ConfigurationError when another file has the name of one or the
    folder can't be written, PrerequisiteError when Windows' launcher is not to be found.
    """
    contents = {launcher_path(folder, command): launcher(command, settings) for command in DROP_INS}
    for path in contents:
        _check_replaceable(path)
    for path, content in contents.items():
        try:
            write_atomically(path, (content,))
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as refused:
            raise ConfigurationError(
                f"can't write: {refused.strerror or refused}",
                remedy="Name a folder that this user may write.",
                file=str(path),
            ) from refused
    return tuple(contents)


def launcher_path(folder: Path, command: str) -> Path:
    """The file that programs start by the name `command`; on Windows CreateProcess takes an .exe alone."""
    return folder / (f"{command}.exe" if os.name == "nt" else command)


def launcher(command: str, settings: Path) -> bytes:
    """The content of a launcher for this system."""
    if os.name == "nt":
        from kspsign.cli.shims.windows import windows_launcher  # noqa: PLC0415 - of Windows alone

        return windows_launcher(command, settings, entry_point())
    return posix_launcher(command, settings, [sys.executable, *INTERPRETER, *entry_point()])


def entry_point() -> tuple[str, ...]:
    """Python's arguments that start this installation: the task's engine folder, or the installed package."""
    engine = Path(kspsign.__file__).resolve().parents[1]
    return (str(engine),) if (engine / "__main__.py").is_file() else ("-m", "kspsign")


def posix_launcher(command: str, settings: Path, start: Sequence[str]) -> bytes:
    """A script for sh: programs start it like any other."""
    lines = (
        "#!/bin/sh",
        f"# {MARK.decode()}: starts `kspsign {command}`.",
        f'[ -n "${CONFIG_VARIABLE}" ] || {CONFIG_VARIABLE}={shlex.quote(str(settings))}',
        f"export {CONFIG_VARIABLE}",
        f'exec {shlex.join(start)} {command} "$@"',
    )
    return ("\n".join(lines) + "\n").encode("utf-8", errors="surrogateescape")


def _check_replaceable(path: Path) -> None:
    """Raises ConfigurationError for anything at `path` but a launcher of ours."""
    if not os.path.lexists(path):
        return
    try:
        ours = path.is_file() and not path.is_symlink() and MARK in path.read_bytes()
    except OSError:
        ours = False
    if not ours:
        raise ConfigurationError(
            "it is there and is not a launcher of kspsign: it is not replaced",
            remedy="Name an empty folder, or one that `kspsign shims` wrote.",
            file=str(path),
        )
