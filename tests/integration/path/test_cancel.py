"""A run that is told to end while services hang: it ends at once, with its report, and loses nothing."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.digicert_one.answers import Request
from support.keylocker_bench import open_bench
from support.launching import Launcher
from support.samples import assert_no_leftovers
from support.timestamping.server import Stamping

HANGS = 60.0
"""Seconds that a service takes for an answer: no run of this file may wait for one."""


def test_a_search_for_files_that_takes_long_is_abandoned(tmp_path: Path, launcher: Launcher) -> None:
    # The list is read from standard input, which stays open.
    report = tmp_path / "report.json"
    run = launcher.run(["verify", "@-", "--folder", str(tmp_path), "--report", str(report)], 1.5, number=signal.SIGINT)
    assert run.code == 130
    assert run.told is not None
    assert run.over - run.told < HANGS / 10
    written = json.loads(report.read_text(encoding="utf-8"))
    assert (written["exit_code"], written["error"]["code"], written["files"]) == (130, "CANCELLED", [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("hanging", ["lookup", "key store", "timestamp server"])
def test_what_hangs_is_abandoned(
    tmp_path: Path, authority: EmbeddedAuthority, launcher: Launcher, hanging: str, number: int
) -> None:
    ended, hangs = threading.Event(), tmp_path / "hangs"

    def hang(request: Request) -> Request:
        if (request.method == "GET") is (hanging == "lookup"):
            hangs.touch()
            ended.wait(HANGS)
        return request

    def latency(number: int) -> float:
        if number == 1 or hanging != "timestamp server":
            return 0  # The first answer lets the run begin to sign.
        hangs.touch()
        return HANGS

    with (
        open_bench(tmp_path, authority) as bench,
        Stamping(authority, latency=latency) as stamping,
    ):
        before = bench.files(40)
        report = tmp_path / "report.json"
        if hanging != "timestamp server":
            bench.host.service.spoil = hang
        arguments = [*bench.arguments(stamping.url), "--report", str(report)]
        run = launcher.run(arguments, hangs, number=number, environment=bench.host.environment)
        ended.set()
        bench.host.service.spoil = lambda request: request
        assert run.code == 130
        assert run.told is not None
        assert run.over - run.told < HANGS / 10
        written = json.loads(report.read_text(encoding="utf-8"))
        assert (written["exit_code"], written["error"]["code"]) == (130, "CANCELLED")
        assert {file["error"]["code"] for file in written["files"]} <= {"CANCELLED"}
        assert written["totals"]["left"] == (0 if hanging == "lookup" else 40)
        assert all(path.read_bytes() == content for path, content in before.items())
        assert_no_leftovers(bench.dist)
        if hanging == "timestamp server":
            assert bench.spent > 0
            with Stamping(authority) as well:
                again = launcher.run(bench.arguments(well.url), None, environment=bench.host.environment)
            assert (again.code, bench.spent) == (0, 40), "what was obtained is not asked for again"
