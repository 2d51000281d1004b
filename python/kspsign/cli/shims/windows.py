r"""Launchers for Windows: the small program of distlib that Python's installers use for scripts, and a script in a zip.

The program looks for the zip at its own end and for the line `#!"PYTHON" OPTIONS` before it, and starts Python with
its own path, so that Python runs the zip's __main__.py (distlib.scripts; Vinay Sajip's simple_launcher). pip carries
the program, and every CPython carries pip.
"""

from __future__ import annotations

import io
import platform
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from kspsign.cli.drop_in import CONFIG_VARIABLE
from kspsign.cli.shims.launchers import INTERPRETER, MARK
from kspsign.model.errors import PrerequisiteError

_STUBS: Final = {"amd64": "t64.exe", "x86_64": "t64.exe", "arm64": "t64-arm.exe", "aarch64": "t64-arm.exe"}
_PACKAGES: Final = ("pip._vendor.distlib", "distlib")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def windows_launcher(command: str, settings: Path, start: Sequence[str], stub: bytes | None = None) -> bytes:
    """An .exe that starts `command` by the Python that runs now. Raises PrerequisiteError when pip is missing."""
    line = f'#!"{sys.executable}" {" ".join(INTERPRETER)}\r\n'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), _script(command, settings, start))
    return (stub or find_stub()) + line.encode("utf-8") + archive.getvalue()


def _script(command: str, settings: Path, start: Sequence[str]) -> str:
    """What Python runs: `kspsign COMMAND ARGUMENTS` in this process."""
    run = f"runpy.run_module({start[1]!r}" if start[0] == "-m" else f"runpy.run_path({start[0]!r}"
    return (
        f"# {MARK.decode()}: starts `kspsign {command}`.\n"
        "import os, runpy, sys\n"
        f"os.environ[{CONFIG_VARIABLE!r}] = os.environ.get({CONFIG_VARIABLE!r}) or {str(settings)!r}\n"
        "sys.path.pop(0)\n"
        f"sys.argv[1:1] = [{command!r}]\n"
        f'{run}, run_name="__main__")\n'
    )


def find_stub() -> bytes:
    """The launcher program for this machine. Raises PrerequisiteError."""
    name = _STUBS.get(platform.machine().lower(), "t32.exe")
    for package in _PACKAGES:
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            continue
        if spec is not None and spec.origin and (file := Path(spec.origin).with_name(name)).is_file():
            return file.read_bytes()
    return _from_wheel(name)


def _from_wheel(name: str) -> bytes:
    """The program within the pip that ensurepip would install."""
    spec = find_spec("ensurepip")
    wheels = sorted((Path(spec.origin).parent / "_bundled").glob("pip-*.whl")) if spec and spec.origin else []
    for wheel in reversed(wheels):
        with zipfile.ZipFile(wheel) as archive:
            member = f"pip/_vendor/distlib/{name}"
            if member in archive.namelist():
                return archive.read(member)
    raise PrerequisiteError(
        f"the launcher program {name} was not found: this Python has neither pip nor ensurepip",
        code="LAUNCHER_MISSING",
        remedy="Install pip for this Python (python -m ensurepip), or use a Python from python.org.",
    )
