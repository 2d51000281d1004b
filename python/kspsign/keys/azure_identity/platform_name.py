"""The platform's name, determined once in an environment without secrets.

Microsoft's clients ask Python for it when they are loaded, and Python runs `uname` with the whole environment.
"""

from __future__ import annotations

import os
import platform

_NEEDED = frozenset({"COMSPEC", "PATH", "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432", "SYSTEMROOT"})


def find_platform_name() -> str:
    """The name, which Python remembers from then on. Call it while no other thread reads the environment."""
    kept = dict(os.environ)
    for name in kept:
        if name.upper() not in _NEEDED:
            del os.environ[name]
    try:
        return platform.platform()
    finally:
        os.environ.update(kept)
