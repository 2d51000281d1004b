"""Where things lie in the checkout that is tested."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRANSCRIPTS = ROOT / "tests" / "windows_lab" / "lab" / "transcripts" / "10.0.26100.0"
"""What Microsoft's SignTool and DigiCert's smctl printed in the Windows lab, a file per command."""
