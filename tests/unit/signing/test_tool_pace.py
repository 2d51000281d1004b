"""How many calls of a signing program run side by side."""

from __future__ import annotations

from kspsign.signing.tool_pace import BATCH, MOST_PROCESSES, PROCESSES, ToolPace


def test_the_first_calls_are_small() -> None:
    first = ToolPace(None).first
    assert first.processes == PROCESSES
    assert first.size < BATCH


def test_a_slow_key_store_gets_more_calls_and_a_fast_one_does_not() -> None:
    slow, fast = (ToolPace(None).after(4, 4 * seconds, strained=False) for seconds in (1.0, 0.1))
    assert (slow.processes, fast.processes) == (MOST_PROCESSES, PROCESSES)
    assert slow.size == fast.size == BATCH


def test_a_key_store_that_refused_a_file_gets_no_more_calls_afterwards() -> None:
    pace = ToolPace(None)
    assert pace.after(4, 4.0, strained=False).processes == MOST_PROCESSES
    assert pace.after(4, 4.0, strained=True).processes == PROCESSES
    assert pace.after(4, 4.0, strained=False).processes == PROCESSES


def test_jobs_fix_the_number_of_calls() -> None:
    pace = ToolPace(3)
    assert pace.first.processes == pace.after(16, 160.0, strained=False).processes == 3
    assert pace.concurrency == 3 * BATCH
    assert ToolPace(200).concurrency == 200
