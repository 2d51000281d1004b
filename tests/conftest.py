"""What many tests share: one embedded authority and one timestamp server per test process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kspsign.embedded.authority import EmbeddedAuthority, create_authority
from kspsign.embedded.timestamp_server import TimestampServer


@pytest.fixture(scope="session")
def authority() -> EmbeddedAuthority:
    """A throw-away authority; making its RSA keys takes a noticeable part of a second."""
    return create_authority(datetime.now(UTC))


@pytest.fixture(scope="session")
def timestamp_server(authority: EmbeddedAuthority) -> Iterator[TimestampServer]:
    """A running timestamp server whose unit belongs to `authority`."""
    with TimestampServer(authority) as server:
        yield server
