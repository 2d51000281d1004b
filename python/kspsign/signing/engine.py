"""What makes the signatures: the seam between the path and the engines, and their table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kspsign.errors import ConfigurationError
from kspsign.model import Artifact, SignedCopy, SyncedCertificate
from kspsign.settings import Settings
from kspsign.signing.native import open_native

_Opener = Callable[[Settings, SyncedCertificate, threading.Event], AbstractContextManager["Engine"]]


class Engine(Protocol):
    """Signs with one certificate; `sign` is called from several threads at once."""

    @property
    def name(self) -> str:
        """The engine's word in --engine."""

    @property
    def tool(self) -> object | None:
        """The outside program that signs, as text its path and version; None when there is none."""

    @property
    def concurrency(self) -> int:
        """How many files are best in its hands at once: --jobs, or more where a call takes several."""

    @property
    def signatures_used(self) -> int:
        """How many signatures the key store was asked for so far."""

    def sign(self, artifact: Artifact, copy: Path) -> SignedCopy:
        """Write a signed, timestamped copy of `artifact` to `copy`, beside it; the artifact itself stays as it is.

        Raises ArtifactError before a signature is spent when the file can't be signed, SigningError when the key
        store refuses or its signature does not fit the certificate, TimestampError when no server answers.
        """

    def transcripts(self) -> Iterator[str]:
        """What its outside program printed since the last time, for --verbose."""


def open_engine(
    settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event
) -> AbstractContextManager[Engine]:
    """The engine for these settings: the one named by --engine, else SignTool for a key behind a KSP, else native.

    Raises ConfigurationError when engine and key store do not go together.
    """
    name = settings.engine
    if name == "auto":
        name = "signtool" if certificate.key_store == "windows" else "native"
    if name == "native" and certificate.key_store == "windows":
        raise ConfigurationError(
            "the native engine can't reach a key behind a KSP", remedy="Leave --engine out, or take signtool or smctl."
        )
    return _ENGINES[name](settings, certificate, cancelled)


def _open_tool(name: str) -> _Opener:
    def opener(
        settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event
    ) -> AbstractContextManager[Engine]:
        from kspsign.signing.tool_engine import open_tool_engine  # noqa: PLC0415 - loaded when used, for start-up

        return open_tool_engine(settings, certificate, cancelled, name)

    return opener


_ENGINES: dict[str, _Opener] = {
    "native": open_native,
    "signtool": _open_tool("signtool"),
    "smctl": _open_tool("smctl"),
}
