"""The agent's secret masking: line by line, from the moment a value is known to be secret."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote


class SecretMasker:
    """Replaces known secrets, and their base64, JSON and URI forms, by three asterisks."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, secret: str) -> None:
        """Mask `secret` from now on; lines that are written already stay as they are."""
        if secret.strip():
            forms = (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))
            self._known.update((*forms, base64.b64encode(secret.encode()).decode("ascii")))

    def mask(self, line: str) -> str:
        """`line` as it is stored in the log."""
        for secret in sorted(self._known, key=len, reverse=True):
            line = line.replace(secret, "***")
        return line
