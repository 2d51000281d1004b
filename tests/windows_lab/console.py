"""A Windows console with somebody at its keyboard: Ctrl-C reaches every program of the console, as on an agent."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Callable, Mapping

from windows_lab.machine import Windows

CTRL_C = b"\x03"
HANGS_SECONDS = 600
"""A program that is not over by then never will be, on however busy a machine."""
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_console(
    windows: Windows,
    program: str,
    *arguments: str,
    interrupt_when: Callable[[], bool],
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a program; Ctrl-C is typed once `interrupt_when` holds. Returns the exit code and what was shown.

    The console wraps what it shows at its width. Raises TimeoutError for a program that hangs.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(windows.folder)
        command = windows.command(program, *arguments)
        environment = windows.linux_environment() if env is None else dict(env)
        os.execve(command[0], command, environment)  # noqa: S606 -- the forked child of the terminal
    shown = b""
    interrupted = False
    end = time.monotonic() + HANGS_SECONDS
    while True:
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise TimeoutError(f"{program} hangs: {shown!r}")
        readable, _, _ = select.select([terminal], [], [], 0.05)
        try:
            if readable:
                shown += os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side was closed
            break
        if not interrupted and interrupt_when():
            os.write(terminal, CTRL_C)
            interrupted = True
    os.close(terminal)
    text = _CONTROL_SEQUENCE.sub("", shown.decode("utf-8", "replace"))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text
