"""The engine under Windows CPython: start, demo, paths, attributes, sharing, cancelling."""

from __future__ import annotations

from windows_lab.machine import Windows


def test_the_engine_starts(windows: Windows) -> None:
    ended = windows.kspsign("--version")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("kspsign ")
