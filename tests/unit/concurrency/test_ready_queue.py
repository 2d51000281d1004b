"""Items come after those that they wait for, and the others do not wait."""

from __future__ import annotations

import threading
import time

from kspsign.concurrency.ready_queue import ReadyQueue


def queue(
    waits_for: dict[object, set[object]], *items: str, cancelled: threading.Event | None = None
) -> ReadyQueue[str]:
    """Letters that wait for letters."""
    return ReadyQueue(items, str, {key: set(keys) for key, keys in waits_for.items()}, cancelled or threading.Event())


def test_what_waits_comes_first_once_it_is_ready() -> None:
    letters = queue({"z": {"a", "b"}}, "z", "a", "b", "c")
    taken = [next(letters), next(letters)]
    assert taken == ["a", "b"]
    for letter in taken:
        letters.done(letter)
    assert [*letters] == ["z", "c"]


def test_a_thread_waits_for_what_another_does() -> None:
    letters = queue({"z": {"a"}}, "a", "z")
    assert next(letters) == "a"
    threading.Timer(0.05, letters.done, ["a"]).start()
    assert next(letters) == "z"


def test_what_is_not_among_the_items_is_not_waited_for() -> None:
    assert [*queue({"z": {"gone"}}, "z")] == ["z"]


def test_a_cancelled_run_waits_for_nothing() -> None:
    cancelled = threading.Event()
    letters = queue({"z": {"a"}}, "a", "z", cancelled=cancelled)
    assert next(letters) == "a"
    threading.Timer(0.05, cancelled.set).start()
    begun = time.monotonic()
    assert [*letters] == []
    assert time.monotonic() - begun < 5
