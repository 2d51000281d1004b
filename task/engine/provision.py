# ruff: noqa: INP001 -- a folder that Python runs as a program is not a package
"""Creates a virtual environment with the engine's locked libraries when the package has none for the interpreter.

`python -I provision.py FOLDER`: exit code 0, and FOLDER is whole; 5, and an error says what to do; 130 when it was
interrupted. It is built next to FOLDER and renamed, by one process at a time; a whole one is used again.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bundle import LOCK, environment_python, library_tag

FAILED, INTERRUPTED = 5, 130
MANIFEST = "kspsign.json"
COMPILED = "import cryptography.hazmat.bindings._rust, pydantic_core._pydantic_core"
LOCKED = ["--require-hashes", "--only-binary=:all:", "--no-deps"]
QUIET = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
VENV_REMEDY = "install the system's package for venv and ensurepip (Debian: python3-venv)"
PIP_REMEDY = (
    "give this agent access to a package index with wheels for its platform (PipAuthenticate@1 or PIP_INDEX_URL for an "
    "index, HTTPS_PROXY for a proxy)"
)
SUPPORTED_REMEDY = (
    "run the step with a Python that the package has libraries for: CPython 3.11 to 3.14 on Linux x64 (glibc), "
    "Windows x64 or macOS arm64, by UsePythonVersion@0 before it"
)

if sys.platform == "win32":
    import msvcrt

    def _locked(file: IO[bytes]) -> bool:
        """Whether the lock was free; it is held until `file` is closed."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _locked(file: IO[bytes]) -> bool:
        """Whether the lock was free, or the file system knows none; it is held until `file` is closed."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


class ProvisioningError(Exception):
    """A command that failed, with its last words and the remedy."""


def main(folder: Path) -> int:
    """Make `folder` whole; the exit code."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    missing = f"the package has no libraries for CPython {platform.python_version()} ({library_tag()})"
    try:
        if is_whole(folder):
            _say(f"{missing}; using those in {folder}")
            return 0
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if not is_whole(folder):
                _say(f"{missing}; installing them into {folder}")
                _build(folder)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, ProvisioningError) as error:
        _issue(f"{missing}, and they could not be installed: {error}; or {SUPPORTED_REMEDY}.")
        return FAILED
    return 0


def is_whole(folder: Path) -> bool:
    """Whether each file exists with its size, and the interpreter still loads the compiled modules."""
    try:
        sizes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not all((folder / name).stat().st_size == size for name, size in sizes.items()):
            return False
        tried = subprocess.run(  # noqa: S603 -- our own environment's interpreter
            [environment_python(folder), "-I", "-B", "-c", COMPILED], capture_output=True, check=False
        )
    except (OSError, ValueError, AttributeError):
        return False
    return tried.returncode == 0


def _build(folder: Path) -> None:
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _run([sys.executable, "-I", "-m", "venv", str(draft)], VENV_REMEDY)
        pip = [str(environment_python(draft)), "-I", "-X", "utf8", "-m", "pip", "install", *LOCKED, *QUIET]
        _run([*pip, "--requirement", str(LOCK)], PIP_REMEDY)
        files = (path for path in draft.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        sizes = {path.relative_to(draft).as_posix(): path.stat().st_size for path in files}
        (draft / MANIFEST).write_text(json.dumps(sizes), encoding="utf-8")
        if not is_whole(draft):
            raise ProvisioningError("the libraries do not load with this interpreter")
        if folder.exists():
            folder.rename(draft.with_name(f"{draft.name}-broken"))
        draft.rename(folder)
    finally:
        for left in folder.parent.glob(f"{draft.name}*"):
            shutil.rmtree(left, ignore_errors=True)


def _run(command: list[str], remedy: str) -> None:
    """Run `command`, its output in the log. Raises ProvisioningError with its last line."""
    last = "it printed nothing"
    with subprocess.Popen(  # noqa: S603 -- an argument list of our own
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        errors="replace",
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                _say(line.rstrip())
                last = line.strip() or last
        except KeyboardInterrupt:
            process.kill()
            raise
    if process.returncode:
        shown = subprocess.list2cmdline(command)
        raise ProvisioningError(f"`{shown}` ended with exit code {process.returncode}: {last}. Remedy: {remedy}")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file; a lock ends with its process. Whoever has it is waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        told = False
        while not _locked(file):
            if not told:
                _say("another job is installing the libraries; waiting for it")
            told = True
            time.sleep(0.2)
        yield


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _issue(text: str) -> None:
    """An error on the step's record; words of other programs must not end the line or hold a command."""
    plain = " ".join(text.split()).replace("##", "# #").replace("%", "%AZP25")
    sys.stdout.write(f"##vso[task.logissue type=error;code=LIBRARIES_MISSING]{plain}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
