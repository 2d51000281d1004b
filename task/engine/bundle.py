# ruff: noqa: INP001 -- a folder that Python runs as a program is no package
"""Which compiled libraries of this package fit the running interpreter; as a script it prints that as JSON.

Any Python 3.6+ can run this file: it is also how an interpreter is asked whether it fits at all.
"""

import json
import platform
import struct
import sys
import sysconfig
from pathlib import Path

ARCHITECTURES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


def platform_tag() -> str:
    """System and architecture of the interpreter (not of the machine), e.g. "linux-x86_64", "windows-x86"."""
    system = SYSTEMS.get(platform.system(), platform.system().lower())
    if system == "linux" and platform.libc_ver()[0] != "glibc":
        system = "linux-musl"
    machine = platform.machine().lower()
    if struct.calcsize("P") < struct.calcsize("q"):
        return f"{system}-x86"
    return f"{system}-{ARCHITECTURES.get(machine, machine)}"


def library_tag() -> str:
    """The folder of lib/ with the libraries for this interpreter alone, e.g. "linux-x86_64-cp311"."""
    free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{platform_tag()}-cp{sys.version_info[0]}{sys.version_info[1]}{free_threaded}"


def library_folders(engine: Path) -> "list[str]":
    """The folders that go on sys.path: for this interpreter, for every CPython 3 of the platform, for all."""
    return [str(engine / "lib" / name) for name in (library_tag(), f"{platform_tag()}-abi3", "common")]


if __name__ == "__main__":
    answer = {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "tag": library_tag(),
        "executable": sys.executable,
    }
    print(json.dumps(answer))  # noqa: T201 -- the answer to whoever started this file
