"""The version of this program, as pyproject.toml has it: asking the installed package's metadata takes longer than
signing a small file."""

from __future__ import annotations

from typing import Final

VERSION: Final = "1.0.0"
