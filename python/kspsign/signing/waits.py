"""What a run is currently waiting for."""

from __future__ import annotations

from typing import NamedTuple


class Waits(NamedTuple):
    """Files that wait for a remote service."""

    key_store: int = 0
    timestamp: int = 0
