"""The lab does what its README says, with Microsoft's SignTool: its own checks, one by one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from windows_lab.building import SOURCES


def test_every_check_of_the_lab_passes(lab: Path) -> None:
    command = ["bash", str(SOURCES / "selftest.sh"), str(lab)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "68 passed, 0 failed" in ended.stdout
