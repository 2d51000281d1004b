"""What makes the signatures: the seam between the path and the engines, and their table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kspsign.model import Artifact, SignedCopy, SyncedCertificate
from kspsign.settings import Settings
from kspsign.signing.native import open_native


class Engine(Protocol):
    """Signs with one certificate; `sign` is called from several threads at once."""

    @property
    def name(self) -> str:
        """The engine's word in --engine."""

    @property
    def signatures_used(self) -> int:
        """How many signatures the key store was asked for so far."""

    def sign(self, artifact: Artifact, copy: Path) -> SignedCopy:
        """Write a signed, timestamped copy of `artifact` to `copy`, beside it; the artifact itself stays as it is.

        Raises ArtifactError before a signature is spent when the file can't be signed, SigningError when the key
        store refuses or its signature does not fit the certificate, TimestampError when no server answers.
        """


def open_engine(
    settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event
) -> AbstractContextManager[Engine]:
    """The engine for these settings: the one named by --engine, else the native one."""
    name = "native" if settings.engine == "auto" else settings.engine
    return _ENGINES[name](settings, certificate, cancelled)


_ENGINES: dict[str, Callable[[Settings, SyncedCertificate, threading.Event], AbstractContextManager[Engine]]] = {
    "native": open_native,
}
