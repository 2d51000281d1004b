"""What makes the signatures: the seam between the path and the engines, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from kspsign.authenticode.signable import SignableFile
from kspsign.keys import engine_for
from kspsign.model.values import Limits, SyncedCertificate
from kspsign.settings.model import Settings
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.native import open_native
from kspsign.signing.plan import Planner, open_native_planner, open_tool_planner
from kspsign.signing.shared_state import SharedState
from kspsign.signing.waits import Waits

_Opener = Callable[[Settings, SyncedCertificate, SharedState], AbstractContextManager["Engine"]]


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
        """How many files are best in its hands at once."""

    @property
    def signatures_used(self) -> int:
        """How many signatures the key store made, or may have made, so far."""

    @property
    def limits(self) -> Limits:
        """What was found out about the services so far."""

    @property
    def waits(self) -> Waits:
        """How many files wait for which service just now."""

    def admit(self, file: SignableFile) -> None:
        """Raise ArtifactError for a file that can't be signed; asks nobody and reads no content."""

    def sign(self, held: LockedTarget, file: SignableFile) -> SignedCopy:
        """Write a signed, timestamped copy of `file`, the held target, beside it; the target stays as it is.

        Raises ArtifactError before a signature is spent when the file can't be signed, SigningError when the key
        store refuses, its signature does not fit the certificate or the budget is spent, TimestampError when no
        server answers, HaltedError and CancelledError.
        """

    def embedded(self, copy: SignedCopy) -> None:
        """The copy stands in its target's place: its signature can't get lost any more."""

    def kept(self, file: SignableFile) -> None:
        """`file` carries a signature of ours already, perhaps of a run that was killed right behind its replacement."""

    def remarks(self) -> tuple[str, ...]:
        """What people should know at the end; each is a line."""

    def transcripts(self) -> Iterator[str]:
        """What its outside program printed since the last time, for --verbose."""


def open_engine(
    settings: Settings, certificate: SyncedCertificate, shared: SharedState
) -> AbstractContextManager[Engine]:
    """The engine for these settings: the one named by --engine, else the first of the key store's.

    Raises ConfigurationError when engine and key store do not go together.
    """
    return _ENGINES[engine_for(settings, certificate)](settings, certificate, shared)


def open_planner(settings: Settings, certificate: SyncedCertificate) -> AbstractContextManager[Planner]:
    """What the engine for these settings would spend; asks nobody. Raises like open_engine."""
    native = engine_for(settings, certificate) == "native"
    return open_native_planner(settings, certificate) if native else open_tool_planner(settings)


def _open_tool(name: str) -> _Opener:
    def opener(
        settings: Settings, certificate: SyncedCertificate, shared: SharedState
    ) -> AbstractContextManager[Engine]:
        from kspsign.signing.tool_engine import open_tool_engine  # noqa: PLC0415 - loaded when used, for start-up

        return open_tool_engine(settings, certificate, shared, name)

    return opener


_ENGINES: dict[str, _Opener] = {
    "native": open_native,
    "signtool": _open_tool("signtool"),
    "smctl": _open_tool("smctl"),
}
