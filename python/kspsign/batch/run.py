"""One run: what it is to do and where, its work, and its results so far."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kspsign.concurrency.cancellation import entered
from kspsign.model.errors import CancelledError, KspSignError, PolicyError
from kspsign.model.report import FileOutcome, LeftOut, RunWarning, TrustFacts
from kspsign.model.values import Artifact, ErrorFacts, RootFacts
from kspsign.publishing import Console
from kspsign.publishing.setting_words import SettingWords, error_in_words, warning_in_words
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings, in_temp_folder
from kspsign.signing.shared_state import SharedState

if TYPE_CHECKING:
    from cryptography import x509

    from kspsign.batch.inside.tree import Inside
    from kspsign.batch.ledger import RunLedgers
    from kspsign.model.run_facts import PolicyFacts, ProvenanceFacts, SliceFacts
    from kspsign.model.signing_facts import CertificateFacts, Limits
    from kspsign.model.written_ledger import RotationFacts
    from kspsign.verifying import Verifier
    from kspsign.verifying.policy.judge import Judge

Resource = TypeVar("Resource")
_NAMED_ROOTS = 10
"""Roots that the log names; the report names all."""


class OutputState(Enum):
    """What is known of the files that the run is to write.

    UNCHECKED: not yet whether one of them is a file that it works on; REFUSED: one is, so that none is written.
    """

    UNCHECKED = "unchecked"
    FREE = "free"
    REFUSED = "refused"


@dataclass(slots=True, eq=False)
class RunRecord:
    """The results of a run so far; the only value on the path that grows. Outcomes are keyed by shown name;
    `listed` are those of files whose hashes others state, as soon as a worker has them."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    certificate: CertificateFacts | None = None
    test_signing: bool = False
    key_store: str | None = None
    engine: str | None = None
    slice: SliceFacts | None = None
    policy: PolicyFacts | None = None
    trust: TrustFacts | None = None
    warnings: list[RunWarning] = field(default_factory=list)
    missing: PolicyError | None = None
    left_out: Sequence[LeftOut] = ()
    matched: tuple[Artifact, ...] = ()
    outcomes: dict[str, FileOutcome] = field(default_factory=dict)
    listed: dict[str, FileOutcome] = field(default_factory=dict)
    signatures_used: int = 0
    signatures_needed: int = 0
    limits: Limits | None = None
    ledgers: RunLedgers | None = None
    rotation: RotationFacts | None = None
    provenance: ProvenanceFacts | None = None
    error: KspSignError | None = None
    outputs: OutputState = OutputState.UNCHECKED
    chains: AbstractSet[tuple[x509.Certificate, ...]] = frozenset()

    @property
    def left(self) -> int:
        """The number of files that were not tried."""
        return sum(not outcome.tried for outcome in self.outcomes.values())


class Run(NamedTuple):
    """The value that travels along the path. Only `record` grows; a stage that adds something passes on a copy.

    `artifacts` are the files that the run takes, `judge` is its policy and `inside` the tree of its containers, where
    that was asked for, once they are known. `shared` is what the
    files have in common while they are worked on. `resources` are closed when the run ends, the last one first.
    """

    settings: Settings
    context: RunContext
    console: Console
    shared: SharedState
    record: RunRecord
    resources: contextlib.ExitStack
    artifacts: tuple[Artifact, ...] = ()
    judge: Judge | None = None
    inside: Inside | None = None

    @classmethod
    def begin(cls, settings: Settings, context: RunContext, console: Console, cancelled: threading.Event) -> Run:
        """A run that knows of no file yet; `cancelled` is set when it shall end early."""
        stops_at_failure = settings.fail_fast and settings.command != "verify"  # a verdict is on all files
        shared = SharedState.begin(cancelled, fail_fast=stops_at_failure)
        return cls(
            in_temp_folder(settings, context.temp_folder), context, console, shared, RunRecord(), contextlib.ExitStack()
        )

    @property
    def words(self) -> SettingWords:
        """How remedies name settings to whoever started the run."""
        return SettingWords(self.context.caller, self.settings.configuration)

    @property
    def cancelled(self) -> threading.Event:
        """Set when the run shall end early."""
        return self.shared.cancelled

    @contextlib.contextmanager
    def to_its_end(self) -> Iterator[None]:
        """The work of the run: an error before or between the files stops it and is part of its report.

        What the run opened is closed here, also after an error or when it was cancelled.
        """
        try:
            with self.resources:
                yield
            self.shared.breaker.end(self.record.left)
            if self.cancelled.is_set():
                raise CancelledError
        except KspSignError as error:
            self.record.error = error
            self.console.failed(error_in_words(ErrorFacts.of(error), self.words))

    def warn(self, warnings: Iterable[RunWarning]) -> None:
        """Say what people should act on; once of each kind."""
        for warning in warnings:
            if warning.code not in {said.code for said in self.record.warnings}:
                self.record.warnings.append(warning)
                said = warning_in_words(warning, self.words)
                self.console.warning(said.code, f"{said.message}. {said.remedy}")

    def hear(self, said: str | RunWarning) -> None:
        """Pass on what a key store says."""
        if isinstance(said, RunWarning):
            self.warn((said,))
        else:
            self.console.notice(said)

    def trusts(self, verifier: Verifier) -> None:
        """Say under which roots the run judges; the chains that `verifier` finds are part of the report."""
        trust = self.record.trust = verifier.trust.facts
        self.record.chains = verifier.chains
        self.names_roots("trust root", trust.named)
        if trust.program_date is not None:
            self.console.notice(f"trust: the Microsoft root program of {trust.program_date[:10]}")

    def names_roots(self, what: str, roots: Sequence[RootFacts]) -> None:
        """Name each root after the words `what`."""
        for root in roots[:_NAMED_ROOTS]:
            self.console.notice(f"{what} {root.thumbprint} ({root.subject})")
        if len(roots) > _NAMED_ROOTS:
            self.console.notice(f"{what} {len(roots) - _NAMED_ROOTS} more roots, which the report names")

    def open(self, resource: AbstractContextManager[Resource]) -> Resource:
        """`resource`, which is closed when the run ends; neither opening nor closing it holds up a cancelled run."""
        return self.resources.enter_context(entered(resource, self.cancelled))
