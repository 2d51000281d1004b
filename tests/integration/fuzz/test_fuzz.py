"""A slice of the fuzzing with fixed seeds: nothing but our errors, an end in time, memory in proportion.

`make fuzz` does it for half an hour, guided by coverage.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest

from fuzz.mutations import mutated, mutated_der
from fuzz.samples import TARGETS, open_target
from support.places import ROOT

pytestmark = pytest.mark.no_cover  # what it reaches others reach: to count that doubles its time
FOUND = ROOT / "tests" / "fuzz" / "found"
INPUTS = 120
HANG_SECONDS = 10
MEMORY_FACTOR, MEMORY_FLOOR = 12, 8 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_do_no_harm(name: str, tmp_path: Path) -> None:
    target = open_target(name, tmp_path)
    source = random.Random(name)  # noqa: S311 - reproducible, not secret
    for sample in target.samples:
        target.feed(sample)
    for number in range(INPUTS):
        sample = source.choice(target.samples)
        data = mutated_der(sample, source) if target.is_der else mutated(sample, source, target.samples)
        if number % 6 == 0:
            tracemalloc.start()
        started = time.perf_counter()
        target.feed(data)
        assert time.perf_counter() - started < HANG_SECONDS
        if tracemalloc.is_tracing():
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= MEMORY_FLOOR + MEMORY_FACTOR * len(data)


@pytest.mark.parametrize("found", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_once_is_no_surprise_again(found: Path, tmp_path: Path) -> None:
    open_target(found.name.partition(".")[0], tmp_path).feed(found.read_bytes())
