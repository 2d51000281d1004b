"""A channel for each parameter, and the authority of its servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.network_options import NetworkOptions
from support.digicert_one.access import Access
from support.network.channels import CHANNELS, Channel

DEADLINE = 0.35
"""Seconds for an exchange in these tests."""


@pytest.fixture
def channel(request: pytest.FixtureRequest, authority: EmbeddedAuthority, tmp_path: Path) -> Iterator[Channel]:
    """The channel that the test names by `indirect`."""
    with CHANNELS[request.param](authority, tmp_path) as opened:
        yield opened


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """A private CA and a server certificate of it for localhost."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return Access.create(folder)


@pytest.fixture
def short() -> NetworkOptions:
    """Options whose exchanges end soon."""
    return NetworkOptions(deadline=DEADLINE)
