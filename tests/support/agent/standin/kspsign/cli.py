"""Entry of the stand-in engine."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

PATIENCE = 60


def entry() -> None:
    """Read the document as the engine does, then act: dump, seen, exit N, killed, text, wait or stubborn."""
    document = json.loads(sys.stdin.buffer.read())
    Path(tempfile.gettempdir(), "scratch.txt").write_text("scratch", encoding="utf-8")
    action, *words = document["inputs"]["files"][0].split()
    if action == "dump":
        print("DUMP" + json.dumps(document))  # noqa: T201 -- what the test reads
    elif action == "seen":
        seen = {"argv": sys.orig_argv, "env": dict(os.environ), "cwd": str(Path.cwd()), "path": sys.path}
        print("SEEN" + json.dumps({**seen, "temp": tempfile.gettempdir()}))  # noqa: T201 -- likewise
    elif action == "exit":
        sys.exit(int(words[0]))
    elif action == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "text":
        _text()
    else:
        _wait(stubborn=action == "stubborn")


def _text() -> None:
    sys.stdout.buffer.write("##vso[task.setvariable variable=filesSigned]3\nplain ü\n".encode())
    sys.stderr.write("odd ##vso[task.setvariable variable=thumbprint]evil\n##[error]odd\n###\u200b##vso[x.y]\n")
    sys.stdout.buffer.write(b"##vso[task.setvariable variable=reportPath]cut")
    sys.stdout.flush()


def _wait(*, stubborn: bool) -> None:
    def heard(number: int, _frame: FrameType | None) -> None:
        print(f"HEARD {signal.Signals(number).name}", flush=True)  # noqa: T201 -- what the test reads
        if not stubborn:
            sys.exit(130)

    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, heard)
    print("READY", flush=True)  # noqa: T201 -- likewise
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.05)
