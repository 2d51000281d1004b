"""Runs of kspsign that a signal ends at a moment of the test's choice; start-up is not paid for each time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LAUNCHER = """
import json, os, signal, sys, time
# so that the moments lie in the work, not in start-up: also what a run imports when it is used
import kspsign.path, kspsign.cli.commands, kspsign.embedded.timestamp_server, kspsign.publishing.plain
import kspsign.authenticode.pe, kspsign.settings.resolve, kspsign.timestamping.client, kspsign.network.pool
import kspsign.keys.keylocker.store, kspsign.keys.embedded.store
import kspsign.signing.open_native, kspsign.signing.preflight
from kspsign.keys.table import STORES

STORES.built_in()
from kspsign.cli.main import main

for line in sys.stdin:
    arguments, moment, number, environment = json.loads(line)
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.environ.update(environment)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(main(arguments))
    told = None
    if moment is not None:
        if isinstance(moment, str):
            while not os.path.exists(moment):
                assert time.monotonic() < started + 300, moment
                time.sleep(0.01)
        else:
            time.sleep(moment)
        told = time.monotonic()
        os.kill(child, number)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, time.monotonic() - started, told, time.monotonic()]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """Exit code (negative: the signal), seconds in all, and when the signal was sent and the run over (monotonic)."""

    code: int
    seconds: float
    told: float | None
    over: float


class Launcher:
    """A process that has kspsign imported and forks one that runs it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def run(
        self,
        arguments: Sequence[str],
        moment: float | Path | None,
        *,
        number: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """A run that gets the signal `number` after `moment` seconds, or once there is a file `moment`, or none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        when = str(moment) if isinstance(moment, Path) else moment
        self._process.stdin.write(json.dumps([list(arguments), when, int(number), dict(environment or {})]) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=30)
