"""The Engine protocol and the engine registry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol

from kspsign.authenticode.signable import SignableFile
from kspsign.keys.open import engine_for
from kspsign.keys.protocol import SigningKey
from kspsign.model.load import load
from kspsign.model.signing_facts import Limits
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import Settings
from kspsign.signing.budget import Budget
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.hooks import Hooks
from kspsign.signing.plan import Planner, ToolPlanner, native_planner
from kspsign.signing.shared_state import SharedState
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.signing.preflight import Preflight
    from kspsign.timestamping.server import TokenJudge

_Opener = Callable[
    [Settings, SigningKey, Budget, SharedState, "TokenJudge", "Preflight | None"], AbstractContextManager["Engine"]
]


class Engine(Protocol):
    """Signs with one certificate; `sign` is called from several threads at once."""

    @property
    def name(self) -> str:
        """The engine's word in --engine."""

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

    @property
    def hooks(self) -> Hooks:
        """What else it wants to know, or has to say."""

    def sign(self, held: LockedTarget, file: SignableFile) -> SignedCopy:
        """Write a signed, timestamped copy of `file`, the locked target, next to it; the target stays as it is.

        Raises ArtifactError before a signature is spent when the file can't be signed, SigningError when the key
        store refuses, its signature does not match the certificate or the budget is spent, TimestampError when no
        server answers, HaltedError and CancelledError.
        """


def open_engine(
    settings: Settings,
    key: SigningKey,
    budget: Budget,
    shared: SharedState,
    judge: TokenJudge,
    preflight: Preflight | None,
) -> AbstractContextManager[Engine]:
    """The engine for these settings: the one named by --engine, else the first of the key store's.

    It spends no more than `budget`, and nothing before `preflight` says that timestamps can be had; None asks for no
    timestamps, or for those of the key store's own server, about which `judge` is asked. Raises ConfigurationError
    when engine and key store do not go together.
    """
    opener: _Opener = load(_ENGINES[engine_for(settings, key.certificate)])
    return opener(settings, key, budget, shared, judge, preflight)


def open_planner(settings: Settings, certificate: SyncedCertificate, budget: Budget) -> Planner:
    """The plan of what these settings would spend of `budget`; makes no requests. Raises like open_engine."""
    native = engine_for(settings, certificate) == "native"
    return native_planner(settings, certificate, budget) if native else ToolPlanner(budget)


@contextlib.contextmanager
def open_preflight(settings: Settings, urls: tuple[str, ...], shared: SharedState) -> Iterator[Preflight | None]:
    """The preflight of the servers at `urls`, begun where they are known before the key store is; connections are
    closed at the end. None where no timestamp is asked for, or none of a server that is not ours."""
    named = bool(settings.timestamp_url)
    if not urls or settings.dry_run or (settings.key_store == "embedded" and not named):
        yield None
        return
    from kspsign.signing.preflight import Preflight  # noqa: PLC0415 - it brings HTTP

    with contextlib.closing(Preflight(settings, urls, shared)) as preflight:
        if named or settings.key_store is not None:
            preflight.start()
        yield preflight


_TOOLS = "kspsign.signing.tool_engine:open_tool_engine"
_ENGINES: Final[Mapping[str, str]] = {
    "native": "kspsign.signing.open_native:open_native",
    "signtool": _TOOLS,
    "smctl": _TOOLS,
}
"""What opens each engine, an `_Opener`."""
