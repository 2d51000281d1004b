"""The lab's certificates, made once, and a machine for each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.signtool.winlab import Pki, Winlab, create_pki, winlab


@pytest.fixture(scope="session")
def pki() -> Pki:
    return create_pki()


@pytest.fixture(scope="module", autouse=True)
def _utc() -> Iterator[None]:
    """SignTool prints times of the machine's zone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def lab(tmp_path: Path, pki: Pki) -> Iterator[Winlab]:
    with winlab(tmp_path, pki) as machine:
        yield machine
