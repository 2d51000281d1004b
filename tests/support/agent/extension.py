"""Building the extension for tests, and giving an installed task a stand-in engine."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.agent.mini import MiniAgent
from support.places import ROOT

STANDIN = Path(__file__).resolve().parent / "standin" / "kspsign"


def build_vsix(folder: Path) -> Path:
    """The .vsix as `make package` makes it, with the compiled libraries of this interpreter only."""
    command = [sys.executable, str(ROOT / "tools" / "package.py"), "--platform", "current"]
    command += ["--work", str(folder), "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.vsix")
    return found


@functools.cache
def shared_vsix() -> Path:
    """One such .vsix for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="kspsign-vsix-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build_vsix(folder)


def use_standin(agent: MiniAgent) -> None:
    """Put the stand-in where the packaged engine has its kspsign package; everything around it stays."""
    package = agent.task.folder / "engine" / "kspsign"
    shutil.rmtree(package)
    shutil.copytree(STANDIN, package, ignore=shutil.ignore_patterns("__pycache__"))
