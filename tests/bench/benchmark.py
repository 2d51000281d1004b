"""`make bench`: whole processes beside osslsigncode in its best form; `--write` makes the documentation's numbers.

`--only WORD` (repeatable) takes the groups whose name has the word, `--rounds N` changes how often short lines are
measured.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lines import GROUPS, ON_DEMAND
from bench.measuring import measure, table
from bench.place import open_place

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of what was measured -->\n"


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write it where that is asked; 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    compileall.compile_dir(ROOT / "python", quiet=2)  # as an installation does
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as services:
        place = open_place(Path(name))
        wanted = given.only or [name for name in GROUPS if name not in ON_DEMAND]
        groups = [group for name, group in GROUPS.items() if any(word in name for word in wanted)]
        lines = [line for group in groups for line in group(place, services)]
        measure(lines, given.rounds)
        shown = f"{_machine()}; medians of {given.rounds} interleaved rounds, lines over half a minute once.\n\n"
        shown += table(lines)
    sys.stdout.write(shown)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        PAGE.write_text(f"{head}{shown}{tail}", encoding="utf-8", newline="\n")
    return int("**no**" in shown)


def _machine() -> str:
    peer = subprocess.run(["osslsigncode", "--version"], capture_output=True, text=True, check=False).stdout
    versions = f"Python {platform.python_version()}, {peer.partition(',')[0]}" if peer else ""
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
