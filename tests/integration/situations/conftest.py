"""The table of situations is read by the tool that writes its page."""

from __future__ import annotations

import sys

from support.places import ROOT

sys.path.insert(0, str(ROOT / "tools"))
