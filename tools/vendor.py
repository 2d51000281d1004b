"""Fetch the engine's locked dependencies for every supported interpreter; unpack what the task carries.

The library folder: common/ (pure Python), <platform>-abi3/ (stable ABI), <platform>-cpXY/ (for one CPython).
Wheels are kept below build/wheels, so that only the first run needs the package index.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "python" / "lock" / "azure.txt"
CACHE = ROOT / "build" / "wheels"
CLIENTS = 4
"""Interpreters whose wheels are fetched at the same time: pip waits for the index most of the time."""

PLATFORMS = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x86_64": ("win_amd64",),
    "macos-arm64": ("macosx_11_0_arm64",),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

EXTENSION_OPTIONAL = frozenset({"charset_normalizer", "pyyaml"})
"""Packages whose compiled part only makes them faster: they are shipped once, without it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Members of wheels that the package does without, and why."""

    pattern: re.Pattern[str]
    why: str


LEFT_OUT = {
    "clients of azure-devops that the engine does not call": Rule(
        re.compile(r"^azure/devops/(connection\.py$|issue_tests/|released/|v7_0/|v7_1/(?!__init__\.py$|build/|test/))"),
        "the package has one for each service and API version; `build` and `test` of 7.1 are used",
    ),
    "metadata of wheels": Rule(re.compile(r"\.dist-info/"), "nothing asks for it at run time; licences are kept"),
    "tests": Rule(re.compile(r"(^|/)(tests|__pycache__|_yaml)/"), "not run"),
    "type stubs and C sources": Rule(re.compile(r"\.(pyi|c|h|pxd)$|(^|/)py\.typed$"), "for compilers and checkers"),
}
COMPILED = re.compile(r"\.(so|pyd|dylib)$")
LICENCE = re.compile(r"\.dist-info/(.*/)?(licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """One interpreter that the task supports: a key of PLATFORMS and a CPython version such as "3.13"."""

    platform: str
    python: str

    @property
    def tag(self) -> str:
        """The name of its library folder, as the engine's bundle.py computes it."""
        return f"{self.platform}-cp{self.python.replace('.', '')}"


ALL_TARGETS = tuple(Target(platform, python) for platform in PLATFORMS for python in PYTHONS)


def wheels(target: Target) -> list[Path]:
    """The wheels of all locked dependencies for `target`: fetched once, checked against the lock's hashes."""
    lock = LOCK.read_bytes()
    folder = CACHE / f"{target.tag}-{hashlib.sha256(lock).hexdigest()[:16]}"
    complete = folder / "complete"
    if not complete.exists():
        platforms = [part for name in PLATFORMS[target.platform] for part in ("--platform", name)]
        options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--implementation", "cp"]
        command = [sys.executable, "-m", "pip", "download", "-qq", *options, *platforms]
        command += ["--python-version", target.python, "--requirement", str(LOCK), "--dest", str(folder)]
        subprocess.run(command, check=True)
        complete.touch()
    found = sorted(folder.glob("*.whl"))
    known = set(re.findall(rb"sha256:([0-9a-f]{64})", lock))
    for wheel in found:
        if hashlib.sha256(wheel.read_bytes()).hexdigest().encode() not in known:
            sys.exit(f"{wheel} is not what the lock file names; delete {folder} and run again.")
    return found


def unpack(targets: tuple[Target, ...], libraries: Path, licences: Path) -> None:
    """Unpack the dependencies of `targets` below `libraries`, and their licence texts below `licences`."""
    done: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(CLIENTS) as pool:
        fetched = list(pool.map(wheels, targets))
    for target, found in zip(targets, fetched, strict=True):
        for wheel in found:
            name = wheel.stem.partition("-")[0]
            folder, pure = folder_of(wheel, target)
            if (name, folder) not in done:
                done.add((name, folder))
                _unpack_wheel(wheel, libraries / folder, licences / name, pure=pure)


def folder_of(wheel: Path, target: Target) -> tuple[str, bool]:
    """The library folder of a wheel, and whether it is shipped as pure Python."""
    name, _version, _python, abi, platform = wheel.stem.split("-")
    pure = platform == "any" or name.lower() in EXTENSION_OPTIONAL
    return "common" if pure else f"{target.platform}-abi3" if abi == "abi3" else target.tag, pure


def is_licence(member: str) -> bool:
    """Whether a member of a wheel is a licence text."""
    return LICENCE.search(member) is not None


def is_left_out(member: str, *, pure: bool) -> bool:
    """Whether the package does without a member of a wheel."""
    return (pure and COMPILED.search(member) is not None) or any(
        rule.pattern.search(member) for rule in LEFT_OUT.values()
    )


def _unpack_wheel(wheel: Path, folder: Path, licences: Path, *, pure: bool) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in (name for name in archive.namelist() if not name.endswith("/")):
            if is_licence(member):
                _write(licences / PurePosixPath(member).name, archive.read(member))
            elif not is_left_out(member, pure=pure):
                _write(folder / member, archive.read(member))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    for target in ALL_TARGETS:
        print(f"{target.tag}: {len(wheels(target))} wheels")
