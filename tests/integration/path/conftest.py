"""What the tests of faults and of cancelled and killed runs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.keylocker_bench import Bench, open_bench
from support.launching import Launcher
from support.timestamping.server import Stamping


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, authority: EmbeddedAuthority) -> Iterator[Bench]:
    """A key store whose answers take a while, so that there are moments between them."""
    with open_bench(tmp_path_factory.mktemp("bench"), authority, latency=0.02) as bench:
        yield bench


@pytest.fixture(scope="module")
def stamping(authority: EmbeddedAuthority) -> Iterator[Stamping]:
    """A timestamp server whose answers take a while."""
    with Stamping(authority, latency=0.02) as stamping:
        yield stamping


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts runs and ends them at a moment."""
    with Launcher() as launcher:
        yield launcher
