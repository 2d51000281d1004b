"""What the lab's Linux programs share: where things are, the call log, the fault plans (see win/lab.h)."""

from __future__ import annotations

import fcntl
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

LAB = Path(os.environ["WINLAB"])
STATE = Path(os.environ.get("WINLAB_STATE") or LAB / "state")
KSP = "DigiCert Signing Manager KSP"


def log(line: str) -> None:
    """One line of the call log."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with (STATE / "calls.log").open("a", encoding="utf-8") as file:
        file.write(f"{moment} {line}\n")


def fault_word(point: str) -> str:
    """The plan's first word, taken away unless it ends in *."""
    try:
        file = (STATE / "faults" / point).open("r+", encoding="ascii")
    except FileNotFoundError:
        return "ok"
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        words = file.read().split()
        if not words:
            return "ok"
        if not words[0].endswith("*"):
            file.seek(0)
            file.write(" ".join(words[1:]))
            file.truncate()
        return words[0].rstrip("*")


def fault(word: str) -> int:
    """0, or the value of fail in a word of a plan (1 where it has none)."""
    found = re.search(r"fail(?:=(\w+))?", word)
    if found is None:
        return 0
    return int(found[1], 0) if found[1] else 1


def pause(word: str) -> None:
    """Sleep for slow=MS."""
    if found := re.search(r"slow=(\d+)", word):
        time.sleep(int(found[1]) / 1000)
