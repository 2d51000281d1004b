# ruff: noqa: INP001 -- a folder that Python runs as a program is not a package
"""Entry of the engine folder: `python -I <this folder> task`."""

from __future__ import annotations

import sys
from pathlib import Path

from bundle import library_folders

sys.path[1:1] = library_folders(Path(__file__).resolve().parent)

from kspsign.cli import entry  # noqa: E402 -- its libraries are found only now

if __name__ == "__main__":
    entry()
