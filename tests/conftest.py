"""What many tests share: one embedded authority and one timestamp server per test process."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kspsign.embedded.authority import EmbeddedAuthority, create_authority
from kspsign.embedded.timestamp_server import TimestampServer


def pytest_configure(config: pytest.Config) -> None:
    """Microsoft's client, where a test calls it itself, keeps tables of places in a folder of this process.

    In the user's own they would last a day, and a server at a port of yesterday's is asked by yesterday's table.
    """
    folder = tempfile.mkdtemp(prefix="kspsign-tests-")
    os.environ["AZURE_DEVOPS_CACHE_DIR"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def authority() -> EmbeddedAuthority:
    """A throw-away authority; making its RSA keys takes a noticeable part of a second."""
    return create_authority(datetime.now(UTC))


@pytest.fixture(scope="session")
def timestamp_server(authority: EmbeddedAuthority) -> Iterator[TimestampServer]:
    """A running timestamp server whose unit belongs to `authority`."""
    with TimestampServer(authority) as server:
        yield server
