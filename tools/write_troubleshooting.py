"""Write docs/troubleshooting.md from the known failures; a test compares the two."""

from __future__ import annotations

from pathlib import Path

from kspsign.diagnosis import troubleshooting_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "troubleshooting.md"

if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(troubleshooting_text(), encoding="utf-8", newline="\n")
    print(PAGE)
