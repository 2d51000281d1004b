"""Running a handler: its output line by line, and cancelling it in the agent's three steps."""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LineHandler = Callable[[str], None]

_CHUNK = 4096

if sys.platform == "win32":
    _INTERRUPT = signal.CTRL_BREAK_EVENT
    _CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _INTERRUPT = signal.SIGINT
    _CREATION_FLAGS = 0


@dataclass(frozen=True, slots=True)
class CancelTimes:
    """Seconds from the interrupt to SIGTERM, and from there to killing the process tree."""

    to_terminate: float = 7.5
    to_kill: float = 2.5


def run_handler(
    command: list[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_line: LineHandler,
    cancel: threading.Event,
    times: CancelTimes,
    kill: threading.Event,
) -> int:
    """Run `command` to its end, handing each line of both outputs to `on_line`. Returns the exit code.

    When `cancel` is set the handler (not its children) gets SIGINT, later SIGTERM, and then the tree is killed;
    when `kill` is set the tree is killed at once.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=sys.platform != "win32",
        creationflags=_CREATION_FLAGS,
    )
    lock = threading.Lock()

    def tell(line: str) -> None:
        with lock:
            on_line(line)

    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    readers = [threading.Thread(target=_read_lines, args=(pipe, tell), daemon=True) for pipe in pipes]
    for reader in readers:
        reader.start()
    while process.poll() is None:
        if cancel.wait(0.02):
            _cancel(process, times)
        elif kill.is_set():
            _kill(process)
    for reader in readers:
        reader.join()
    for pipe in pipes:
        pipe.close()
    return process.returncode


def _cancel(process: subprocess.Popen[bytes], times: CancelTimes) -> None:
    for step, patience in ((_INTERRUPT, times.to_terminate), (signal.SIGTERM, times.to_kill)):
        process.send_signal(step)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole tree without a chance to clean up."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read_lines(pipe: IO[bytes], tell: LineHandler) -> None:
    """Lines end at LF, CR LF or a lone CR, as the agent's reader has it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := os.read(pipe.fileno(), _CHUNK):
        rest += decoder.decode(chunk)
        held = rest.endswith("\r")
        *lines, rest = re.split(r"\r\n|\n|\r", rest[:-1] if held else rest)
        rest += "\r" if held else ""
        for line in lines:
            tell(line)
    rest += decoder.decode(b"", final=True)
    for line in re.split(r"\r\n|\n|\r", rest) if rest else []:
        tell(line)
