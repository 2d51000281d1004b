"""Whole processes, measured: seconds and peak memory, interleaved rounds, medians, one table."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KSPSIGN = (sys.executable, "-m", "kspsign")

WRAPPER = """
import json, os, sys, tempfile, time
quiet = tempfile.TemporaryFile()
started = time.perf_counter()
child = os.fork()
if not child:
    os.dup2(quiet.fileno(), 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_pid, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
quiet.seek(0)
said = quiet.read()[-2000:].decode(errors="replace")
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss, said]))
"""


@dataclass(frozen=True)
class Taken:
    """What one run took: seconds, and the peak resident memory of its largest process in MB."""

    seconds: float
    megabytes: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, *, expect: int = 0) -> Taken:
    """Run `command` to its end. A small process starts it: a child's peak counts from its parent's size."""
    wrapped = [sys.executable, "-S", "-c", WRAPPER, *command]
    done = subprocess.run(
        wrapped, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    code, seconds, kibibytes, said = json.loads(done.stdout)
    if code != expect:
        raise SystemExit(f"{' '.join(command[:6])} ended with {code}:\n{said}\n{done.stderr[-2000:]}")
    return Taken(seconds, kibibytes / 1024)


@dataclass
class Line:
    """One line of the table: `prepare` is not measured, `once` lines are too long for rounds.

    `bound` gets the median of this line and those of the others by name; it tells what must hold, as text, and
    whether it does. `scale` multiplies what is measured on a part; `times` is how often a round measures it.
    """

    name: str
    measure: Callable[[], Taken]
    prepare: Callable[[], object] = lambda: None
    bound: Callable[[float, Mapping[str, float]], tuple[str, bool]] | None = None
    note: Callable[[], str] = lambda: ""
    scale: float = 1.0
    once: bool = False
    times: int = 1
    taken: list[Taken] = field(default_factory=list)
    said: str = ""

    @property
    def seconds(self) -> float:
        return statistics.median(measurement.seconds for measurement in self.taken) * self.scale

    @property
    def megabytes(self) -> float:
        return max(measurement.megabytes for measurement in self.taken)

    def go(self) -> None:
        """One more round."""
        for _ in range(self.times):
            self.prepare()
            self.taken.append(self.measure())
        self.said = self.note()


def measure(lines: Sequence[Line], rounds: int) -> None:
    """All lines, one after the other, `rounds` times."""
    for number in range(rounds):
        for line in lines:
            if number and line.once:
                continue
            line.go()
            print(f"{number + 1}/{rounds} {line.name}: {line.taken[-1].seconds:.2f} s", file=sys.stderr, flush=True)


def table(lines: Sequence[Line]) -> str:
    """The lines as Markdown."""
    medians = {line.name: line.seconds for line in lines}
    rows = ["| what | s | MB | must be | is |", "|---|---:|---:|---|---|"]
    for line in lines:
        asked, held = line.bound(line.seconds, medians) if line.bound else ("", True)
        verdict = ("yes" if held else "**no**") if asked else ""
        verdict = "; ".join(part for part in (verdict, line.said) if part)
        rows.append(f"| {line.name} | {line.seconds:.2f} | {line.megabytes:.0f} | {asked} | {verdict} |")
    return "\n".join(rows) + "\n"


def at_most(seconds: float, how: str) -> Callable[[float, Mapping[str, float]], tuple[str, bool]]:
    """A bound in seconds, said as `how`."""
    return lambda measured, _medians: (f"≤ {seconds:.4g} s ({how})", measured <= seconds)


def faster_than(peer: str, times: float = 1.0) -> Callable[[float, Mapping[str, float]], tuple[str, bool]]:
    """At least so many times as fast as the line `peer`."""

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        ratio = medians[peer] / measured
        asked = "no slower than" if times == 1 else f"{times:g} times as fast as"
        return f"{asked} {peer}: {ratio:.1f} times", ratio >= times

    return bound


class Service:
    """A process of services.py inside its `with` block: what it told, and what it counted."""

    def __init__(self, kind: str, **options: Any) -> None:
        script = Path(__file__).with_name("services.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), kind, json.dumps(options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        assert self._process.stdout is not None
        self.told: dict[str, Any] = json.loads(self._process.stdout.readline())

    def counted(self) -> dict[str, int]:
        """What it counted so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counted: dict[str, int] = json.loads(self._process.stdout.readline())
        return counted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)
