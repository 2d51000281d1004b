"""The lines that a run writes to its ledgers. Only a run that writes one imports this module: it takes long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from kspsign.ledger.entries import (
    AskedEntry,
    EndEntry,
    Entry,
    LedgerCertificate,
    Outcome,
    OutcomeEntry,
    ReusedEntry,
    RotatedEntry,
    RunEntry,
    SignedEntry,
)
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import BUDGET_SPENT, MonthlyLimit
from kspsign.model.errors import PrerequisiteError
from kspsign.signing.use_recorder import now


class LedgerLines:
    """The lines of the run `run` in `ledgers`; safe to share between threads.

    What is written before a request must be, or there is no request; what follows is written as far as it can be, and
    `fault` says why not. `about` is always the digest, algorithm and file of a use, as entries name them.
    """

    def __init__(self, run: str, ledgers: Sequence[LedgerFile]) -> None:
        self.fault: str | None = None
        self._run, self._ledgers = run, ledgers
        self._admit: Callable[[], None] | None = None
        self._ended = False

    def begin(self, entry: RunEntry, limit: MonthlyLimit | None, *, rotates: bool) -> LedgerCertificate | None:
        """The run begins. Returns the certificate that the key had in the run before, where that is another one; it is
        recorded, too.

        The first ledger has the history that `limit` counts by; `rotates` is true for a key whose service chooses
        another certificate all the time. Raises PrerequisiteError when a ledger can't be written.
        """
        before = _LastCertificate()
        for ledger in self._ledgers:
            ledger.append(entry, partial(before.look, ledger))
        if limit is not None:
            self._admit = lambda: limit.check(now()[: len("2026-01")])
        old = before.certificate
        if old is None or rotates or old.thumbprint == entry.certificate.thumbprint:
            return None
        self._write(RotatedEntry(run=self._run, time=now(), old=old, new=entry.certificate))
        return old

    def asked(self, use: str, time: str, attempt: int, about: Mapping[str, Any]) -> None:
        """A signature is about to be asked for. Raises PrerequisiteError when that can't be written."""
        try:
            self._write(AskedEntry(run=self._run, time=time, use=use, attempt=attempt, **about), self._admit)
        except PrerequisiteError as refused:
            if refused.code != BUDGET_SPENT:  # then no ledger has a line of it
                self.outcome(use, "refused", about)
            raise

    def signed(self, use: str, time: str, **answer: str | None) -> None:
        """The key store answered: `certificate`, `request_id`, `operation` of it."""
        self._note(SignedEntry(run=self._run, time=time, use=use, **answer))

    def outcome(self, use: str, outcome: Outcome, about: Mapping[str, Any]) -> None:
        """What became of a signature."""
        self._note(OutcomeEntry(run=self._run, time=now(), use=use, outcome=outcome, **about))

    def reused(self, origin: Literal["journal", "cache"], about: Mapping[str, Any]) -> None:
        """A signature that this run did not ask for is in a file."""
        self._note(ReusedEntry(run=self._run, time=now(), origin=origin, **about))

    def end(self, asked: int, outcomes: Mapping[Outcome, int]) -> None:
        """The run ends: nothing is written after this."""
        self._note(EndEntry(run=self._run, time=now(), asked=asked, outcomes=dict(outcomes)))
        self._ended = True
        for ledger in self._ledgers:
            ledger.sync()

    def _note(self, entry: Entry) -> None:
        """Write a line that follows a request; never raises."""
        try:
            self._write(entry)
        except PrerequisiteError as refused:
            self.fault = str(refused)

    def _write(self, entry: Entry, admit: Callable[[], None] | None = None) -> None:
        if not self._ended:
            for ledger in self._ledgers:
                ledger.append(entry, admit)
                admit = None  # once: by the first, which has the history


class _LastCertificate:
    """The certificate of the key in the run before, by the first ledger that has a history."""

    def __init__(self) -> None:
        self.certificate: LedgerCertificate | None = None

    def look(self, ledger: LedgerFile) -> None:
        """Before the entry of this run is written."""
        if ledger.history is not None:
            self.certificate = ledger.history.certificate
