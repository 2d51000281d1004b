"""The survey's key is that of the integration tests; the table and the list of packages are read by the tools."""

from __future__ import annotations

import sys

from integration.conftest import store
from support.places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

__all__ = ["store"]
