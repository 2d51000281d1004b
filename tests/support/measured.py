"""What a command takes: its exit code, its memory at the most, and its processor time.

A process begins with the size of the one that starts it, so a small one stands between the tests and the command.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_SMALL = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
"""


class Measured(NamedTuple):
    """`memory` in bytes, `seconds` of one processor."""

    code: int
    memory: int
    seconds: float
    output: str


def measured(log: Path, *arguments: object) -> Measured:
    """Run kspsign with these arguments; its output goes to `log`."""
    command = [sys.executable, "-m", "kspsign", *map(str, arguments)]
    small = [sys.executable, "-S", "-E", "-c", _SMALL, str(log), *command]
    code, kilobytes, seconds = subprocess.run(small, check=True, capture_output=True, text=True).stdout.split()
    return Measured(int(code), int(kilobytes) << 10, float(seconds), log.read_text(encoding="utf-8", errors="replace"))
