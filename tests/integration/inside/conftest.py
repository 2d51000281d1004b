"""What the tests of containers share."""

from __future__ import annotations

import pytest

from support.inside import Worker
from support.signing import Publisher


@pytest.fixture(scope="session")
def worker(publisher: Publisher) -> Worker:
    """The publisher's."""
    return Worker(publisher)
