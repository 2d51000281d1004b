"""The lab's certificates and services, made once, and a machine for each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.signtool.winlab import Services, Winlab, create_pki, services


@pytest.fixture(scope="session")
def lab_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("services"), create_pki()) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _utc() -> Iterator[None]:
    """SignTool prints times of the machine's zone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def lab(tmp_path: Path, lab_services: Services) -> Winlab:
    return lab_services.machine(tmp_path)
