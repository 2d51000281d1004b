# ruff: noqa: INP001 -- a folder that Python runs as a program is not a package
"""Finds the engine's libraries for the running interpreter; as a script it prints JSON, given the agent's tools folder.

Any Python 3.6+ can run this file: it is also how an interpreter is asked whether it fits at all.
"""

import hashlib
import json
import platform
import struct
import sys
import sysconfig
from pathlib import Path

ENGINE = Path(__file__).resolve().parent
LOCK = ENGINE / "requirements.txt"
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
    """The folders that go on sys.path: for this interpreter, for every CPython 3 of the platform, for all.

    None where the package carries nothing for this interpreter: an environment of provision.py runs it then.
    """
    if not (engine / "lib" / library_tag()).is_dir():
        return []
    return [str(engine / "lib" / name) for name in (library_tag(), f"{platform_tag()}-abi3", "common")]


def environment_folder(tools: Path) -> Path:
    """The virtual environment of this interpreter and this package's lock file below the agent's tools folder."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return tools / "kspsign" / f"{library_tag()}-{platform.python_version()}-{lock}"


def environment_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python3")


def _answer(tools: str) -> "dict[str, str]":
    """`program` runs the engine, "" if nothing can; `environment` is what provision.py has to make for it, else ""."""
    fits = sys.implementation.name == "cpython" and sys.version_info >= (3, 11)
    bundled = fits and bool(library_folders(ENGINE))
    environment = environment_folder(Path(tools)) if fits and tools and not bundled else None
    program = sys.executable if bundled else str(environment_python(environment)) if environment else ""
    return {
        "version": platform.python_version(),
        "executable": sys.executable,
        "program": program,
        "environment": str(environment or ""),
        "shown": f"is {sys.implementation.name} {platform.python_version()} ({library_tag()})",
        "tag": library_tag(),
    }


if __name__ == "__main__":
    print(json.dumps(_answer("".join(sys.argv[1:]))))  # noqa: T201 -- the answer to whoever started this file
