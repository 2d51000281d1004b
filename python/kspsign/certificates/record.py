"""Where the portable thumbprint store keeps a certificate, and which key store it is from.

The folder is read and written by `kspsign.certsync.portable_store`; what is here is known before a run begins.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

RECORD: Final = "entry.json"
"""What is known of the certificate, in its folder."""


def record_folder(store: Path, thumbprint: str) -> Path:
    """The folder of the certificate with this thumbprint (40 upper-case hex digits) in `store`."""
    return store / "certificates" / thumbprint


def recorded_key_store(store: Path, thumbprint: str) -> str | None:
    """The name of the key store that the certificate is from; None when that can't be read, which is said where the
    whole record is."""
    try:
        record = json.loads((record_folder(store, thumbprint) / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    name = record.get("key_store") if isinstance(record, dict) else None
    return name if isinstance(name, str) else None
