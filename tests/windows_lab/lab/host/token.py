"""SoftHSM's token, which holds the lab's keys."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def token_of(lab: Path) -> Iterator[dict[str, str]]:
    """The environment in which a program finds the token; nobody else opens it within the block.

    Processes that open it at the same moment now and then find it without objects.
    """
    configuration = lab / "hsm" / "softhsm2.conf"
    with configuration.open("rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield {"PATH": os.environ["PATH"], "SOFTHSM2_CONF": str(configuration)}
