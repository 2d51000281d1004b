"""What a run is waiting for just now."""

from __future__ import annotations

from typing import NamedTuple


class Waits(NamedTuple):
    """Files whose next step is somebody else's."""

    key_store: int = 0
    timestamp: int = 0
