"""What the integration tests share: runs through the front door, launchers, and what the peer says of a file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kspsign.cli.main import main
from kspsign.model.values import COPY_PREFIX
from support.places import ROOT

CORPUS = ROOT / "build" / "corpus"


@dataclass(frozen=True)
class Run:
    """One run of kspsign: its exit code, its output (stdout and stderr), and its report when it wrote one."""

    code: int
    text: str
    report: dict[str, Any]

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """The report's files by path."""
        return {file["path"]: file for file in self.report["files"]}

    @property
    def file(self) -> dict[str, Any]:
        """The report's only file."""
        (only,) = self.report["files"]
        return dict(only)

    @property
    def error_code(self) -> str | None:
        """The code of the only file's error, None when it has none."""
        error = self.file["error"]
        return None if error is None else str(error["code"])


def assert_found_in_log(run: Run, logged: Sequence[str]) -> None:
    """Each signature's request is one of the service's own log, in the report and in the trace (--verbose)."""
    reported = [request for file in run.report["files"] for request in file["request_ids"]]
    assert reported
    assert sorted(reported) == sorted(logged)
    assert len(set(reported)) == len(reported)
    assert all(f" by request {request}" in run.text for request in reported), run.text


@dataclass(frozen=True)
class Store:
    """A thumbprint store with an embedded authority in it, and the authority's root as PEM."""

    folder: Path
    thumbprint: str
    root: Path


def kspsign(*arguments: object, folder: Path, reported: bool = True) -> Run:
    """Run kspsign in this process; the report, of commands that have one, goes to `folder`. Cheap, for runs that need
    no process of their own."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    output = io.StringIO()
    with _kept_signals(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = main([*map(str, arguments), *(("--report", str(report)) if reported else ())])
    return Run(code, output.getvalue(), _load(report))


def kspsign_at(*arguments: object, folder: Path, environment: Mapping[str, str] | None = None) -> Run:
    """As `kspsign_process` in this process, which starts none: for the many cases of a table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        return kspsign(*arguments, folder=folder)


AS_ANY_USER = ("setpriv", "--bounding-set=-dac_override", "--") if os.geteuid() == 0 else ()
"""Before a command: root, who may write to every file, runs it with an ordinary user's rights."""


def kspsign_process(
    *arguments: object,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
    before: tuple[str, ...] = (),
) -> Run:
    """Run kspsign as a process of its own in `folder`, where its report goes too, with `before` in front of it."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [*before, sys.executable, "-m", "kspsign", *map(str, arguments), "--report", str(report)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(), _load(report))


def launchers() -> tuple[Path, ...]:
    """The Windows launchers that Python's packaging tools carry: x86, x64 and arm64."""
    found: list[Path] = []
    for package in ("setuptools", "pip._vendor.distlib"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        found += sorted(Path(spec.origin).parent.glob("*.exe"))
    assert len(found) >= 10
    return tuple(found)


def launcher(name: str) -> Path:
    """The launcher of that file name."""
    return next(path for path in launchers() if path.name == name)


def copy_launcher(folder: Path, name: str = "cli-64.exe", to: str | None = None) -> Path:
    """A fresh copy of a launcher in `folder`."""
    return Path(shutil.copyfile(launcher(name), folder / (to or name)))


@dataclass(frozen=True)
class PeerVerdict:
    """What osslsigncode says of a PE image: digests and checksum in upper-case hex."""

    accepted: bool
    text: str

    @property
    def calculated_digests(self) -> list[str]:
        """The digest of the file as the peer computes it, for each signature."""
        return re.findall(r"Calculated message digest\s*: ([0-9A-F]+)", self.text)

    @property
    def calculated_checksum(self) -> int | None:
        """The PE checksum when it differs from the header's, else the header's."""
        found = re.search(r"Calculated PE checksum\s*: ([0-9A-F]+)", self.text) or re.search(
            r"PE checksum\s*: ([0-9A-F]+)", self.text
        )
        return int(found[1], 16) if found else None


def osslsigncode_verify(path: Path, root: Path) -> PeerVerdict:
    """Let osslsigncode verify `path` with `root` for signer and timestamp."""
    command = ["osslsigncode", "verify", "-CAfile", str(root), "-TSA-CAfile", str(root), "-in", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    return PeerVerdict(done.returncode == 0, done.stdout.decode(errors="replace"))


def assert_no_leftovers(folder: Path) -> None:
    """No half-written copy stands beside a target."""
    assert [path for path in folder.rglob("*") if path.name.startswith(COPY_PREFIX)] == []


def corpus(name: str) -> Path:
    """The only real file of that name from a package; tools/fetch_corpus.py brings them."""
    paths = list(CORPUS.rglob(name))
    assert len(paths) == 1, f"{name} must be once in {CORPUS}: run tools/fetch_corpus.py (found: {paths})"
    return paths[0]


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """The program takes over the signals of its process; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load(report: Path) -> dict[str, Any]:
    if not report.exists():
        return {}
    loaded: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return loaded
