"""Building the lab once, and what is put into its Windows: the engine and its dependencies, as wheels."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from support.places import ROOT

SOURCES = Path(__file__).resolve().parent / "lab"
BUILD = ROOT / "build"
LAB = BUILD / "windows-lab"
PYTHON = "3.11"

# tools/ is not a package: the packager's own fetching of wheels is used, so that the lab has what the task carries.
sys.path.insert(0, str(ROOT / "tools"))
from vendor import LOCK, Target, wheels  # noqa: E402 -- found only now


@dataclass(frozen=True, slots=True)
class Engine:
    """Folders for PYTHONPATH that give the lab's Windows Python the engine of this tree, and its dependencies."""

    package: Path
    dependencies: Path


def build_lab() -> Path:
    """The folder of the lab; built first if what it is made of changed. Processes that ask together build it once."""
    built, wanted = LAB / ".sources", f"{LAB} {_hash(SOURCES)}"
    with _alone("windows-lab"):
        found = built.read_text(encoding="utf-8") if built.exists() else ""
        if found != wanted:
            built.unlink(missing_ok=True)
            if not found.startswith(f"{LAB} "):  # half built, or moved, which a lab can't be
                shutil.rmtree(LAB, ignore_errors=True)
            environment = {**os.environ, "WINLAB_CACHE": str(BUILD / "windows-lab-cache")}
            command = ["bash", str(SOURCES / "build.sh"), str(LAB)]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if run.returncode:
                raise RuntimeError(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
            built.write_text(wanted, encoding="utf-8")
    return LAB


def install_engine(folder: Path) -> Engine:
    """Build this tree's wheel and unpack it below `folder`, with the launchers that the demo signs."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    package = folder / "package"
    _unzip(wheel, package)
    launchers = find_spec("setuptools")
    assert launchers is not None
    assert launchers.origin is not None
    shutil.copytree(Path(launchers.origin).parent, package / "setuptools")
    return Engine(package, _dependencies())


def _dependencies() -> Path:
    """The locked wheels for Windows, unpacked; kept from run to run."""
    folder = BUILD / "windows-lab-python" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    with _alone("windows-lab-python"):
        if not folder.exists():
            draft = folder.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            for wheel in wheels(Target("windows-x86_64", PYTHON)):
                _unzip(wheel, draft)
            draft.rename(folder)
    return folder


def _unzip(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def _hash(folder: Path) -> str:
    """Of all that build.sh reads; Python files are run where they are."""
    found = hashlib.sha256()
    inputs = (folder / "build.sh", *(folder / "win").iterdir(), folder / "host" / "lab-run", folder / "host" / "pki.sh")
    for path in sorted(inputs):
        found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Only one process at a time; the others wait."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    build_lab()
