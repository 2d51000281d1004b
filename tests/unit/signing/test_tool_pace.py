"""How many calls of a signing program run side by side."""

from __future__ import annotations

from kspsign.concurrency.batcher import BatchShare
from kspsign.signing.tool_pace import BATCH, MOST_PROCESSES, PROCESSES, ToolPace


def test_the_first_calls_are_small() -> None:
    first = ToolPace(None).first
    assert first.processes == PROCESSES
    assert first.size < BATCH


def test_a_slow_key_store_gets_more_calls_and_a_fast_one_does_not() -> None:
    slow, fast = ToolPace(None), ToolPace(None)
    calls = [slow.after(4, 4.0, strained=False).processes for _ in range(MOST_PROCESSES * 2)]
    assert calls == sorted(calls)
    assert [calls.index(number) + 1 for number in sorted(set(calls))] == [1, PROCESSES, 3 * PROCESSES]
    assert calls[-1] == MOST_PROCESSES == 4 * PROCESSES
    assert {fast.after(4, 0.4, strained=False).processes for _ in range(9)} == {PROCESSES}
    assert slow.after(16, 1.6, strained=False) == BatchShare(BATCH, PROCESSES)


def test_a_key_store_that_refused_a_file_gets_no_more_calls_afterwards() -> None:
    pace = ToolPace(None)
    assert [pace.after(4, 4.0, strained=False).processes for _ in range(PROCESSES)][-1] == 2 * PROCESSES
    assert pace.after(4, 4.0, strained=True).processes == PROCESSES
    assert {pace.after(4, 4.0, strained=False).processes for _ in range(9)} == {PROCESSES}


def test_jobs_fix_the_number_of_calls() -> None:
    pace = ToolPace(3)
    assert pace.first.processes == pace.after(16, 160.0, strained=False).processes == 3
    assert pace.concurrency == 3 * BATCH
    assert ToolPace(200).concurrency == 200


def test_calls_stay_small_while_their_number_grows() -> None:
    pace = ToolPace(None)
    shares = [pace.after(4, 4.0, strained=False) for _ in range(3 * PROCESSES)]
    assert {share.size for share in shares if share.processes < MOST_PROCESSES} == {pace.first.size}
    assert shares[-1] == BatchShare(BATCH, MOST_PROCESSES)
    assert pace.after(4, 4.0, strained=True) == BatchShare(BATCH, PROCESSES)
