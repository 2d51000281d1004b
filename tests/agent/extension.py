"""Building the extension for tests, and giving an installed task a stand-in engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from agent.mini import MiniAgent

ROOT = Path(__file__).resolve().parent.parent.parent
STANDIN = Path(__file__).resolve().parent / "standin" / "kspsign"


def build_vsix(folder: Path) -> Path:
    """The .vsix as `make package` makes it, with the compiled libraries of this interpreter only."""
    command = [sys.executable, str(ROOT / "tools" / "package.py"), "--platform", "current"]
    command += ["--work", str(folder), "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.vsix")
    return found


def use_standin(agent: MiniAgent) -> None:
    """Put the stand-in where the packaged engine has its kspsign package; everything around it stays."""
    package = agent.task.folder / "engine" / "kspsign"
    shutil.rmtree(package)
    shutil.copytree(STANDIN, package, ignore=shutil.ignore_patterns("__pycache__"))
