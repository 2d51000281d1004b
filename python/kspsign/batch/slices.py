"""Slices: the part of a run's files, and of its budget, that one of several parallel jobs takes."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kspsign.model.errors import ConfigurationError
from kspsign.model.values import Artifact

if TYPE_CHECKING:
    from kspsign.model.run_facts import SliceFacts


def take_slice(artifacts: Sequence[Artifact], number: int, total: int) -> tuple[SliceFacts, tuple[Artifact, ...]]:
    """Slice `number` of `total`, in the order given: each artifact is in exactly one slice, whoever asks.

    Names and sizes alone decide: agents that see the same files agree.
    """
    from kspsign.model.run_facts import SliceFacts  # noqa: PLC0415 - most runs take all files

    names = divide(artifacts, total)[number - 1]
    listing = "".join(f"{file.name}\0{file.size}\0" for file in sorted(artifacts, key=lambda file: file.name))
    digest = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    facts = SliceFacts(number, total, len(artifacts), digest)
    return facts, tuple(artifact for artifact in artifacts if artifact.name in names)


def divide(artifacts: Iterable[Artifact], total: int) -> tuple[frozenset[str], ...]:
    """The names in each of `total` slices.

    Largest first, each to the slice with the fewest bytes, then files, so far; a slice may be empty.
    """
    slices: list[set[str]] = [set() for _ in range(total)]
    loads = [(0, 0, index) for index in range(total)]
    for artifact in sorted(artifacts, key=lambda file: (-file.size, file.name)):
        size, files, index = heapq.heappop(loads)
        slices[index].add(artifact.name)
        heapq.heappush(loads, (size + artifact.size, files + 1, index))
    return tuple(map(frozenset, slices))


def share(signatures: int | None, part: SliceFacts | None) -> int | None:
    """The share of a budget that a slice gets: equal parts, the first slices get the remainder."""
    if signatures is None or part is None:
        return signatures
    return signatures // part.total + (part.number <= signatures % part.total)


def slice_of(asked: str, parallel: tuple[int, int] | None) -> tuple[int, int]:
    """Number and total of the slice that was asked for; "auto" is `parallel`, this job's place among its like.

    Raises ConfigurationError when there is no such slice.
    """
    if asked == "auto":
        if parallel is None:
            raise ConfigurationError(
                "slice auto, but this is not a job of a pipeline",
                remedy="Set `strategy: parallel` on the job, or name the slice: 2/5.",
            )
        return parallel
    number, total = map(int, asked.split("/"))
    if number > total:
        raise ConfigurationError(f"there is no slice {asked}", remedy="The number must not exceed the total: 2/5.")
    return number, total
