"""Files side by side: a bounded pool that hands back each result as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_SIGNAL_SECONDS = 0.1
"""How long a wait may last: on Windows the main thread takes no signal while it waits."""


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """`work(item)` of every item, at most `jobs` at a time, in the order of completion.

    `work` must not raise. At most 2 * `jobs` items are queued, so that memory does not grow with their number.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max_workers=min(jobs, len(items)) or 1, thread_name_prefix="sign") as pool:
        pending: set[Future[Result]] = {pool.submit(work, item) for item in islice(remaining, 2 * jobs)}
        while pending:
            done, pending = wait(pending, timeout=_SIGNAL_SECONDS, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(work, item) for item in islice(remaining, len(done))}
            for future in done:
                yield future.result()
