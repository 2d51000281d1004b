"""Records every use of the key while a run signs: in the ledgers that it writes, and for its report.

What is recorded before a request must be written, or there is no request; what follows is written as far as it can
be, and `fault` says why not.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

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
    fit_text,
)
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import BUDGET_SPENT, MonthlyLimit
from kspsign.model.errors import PrerequisiteError
from kspsign.model.ledger_facts import KeyUseFacts
from kspsign.model.values import DigestAlgorithm
from kspsign.signing.journal_entries import LostRequest

USES_SHOWN: Final = 1000
"""Uses of the key that the report lists; it counts all, and the ledger holds all."""
_Key = tuple[str, bytes]
_Origin = Literal["journal", "cache"]


@dataclass(slots=True)
class _Use:
    """A use of the key whose outcome is not known yet, or which the report lists."""

    use: str
    asked: str
    attempt: int
    algorithm: str
    digest: bytes | None
    file: str | None
    answered: str | None = None
    certificate: str | None = None
    request_id: str | None = None
    operation: str | None = None
    outcome: Outcome | None = None

    @property
    def facts(self) -> KeyUseFacts:
        """As the report lists it."""
        return KeyUseFacts(
            use=self.use,
            digest=self.digest.hex() if self.digest is not None else None,
            algorithm=self.algorithm,
            attempt=self.attempt,
            asked=self.asked,
            answered=self.answered,
            certificate=self.certificate,
            request_id=self.request_id,
            operation=self.operation,
            file=self.file,
            outcome=self.outcome or "kept",
        )


class UseRecorder:
    """The uses of the key by one run; safe to share between threads. Nothing is written before `begin`.

    `fault` says why a line could not be written, `asked` how often the key was asked, `outcomes` what became of it.
    """

    def __init__(self) -> None:
        self.run = secrets.token_hex(16)
        self.fault: str | None = None
        self.asked = 0
        self.outcomes: Counter[Outcome] = Counter()
        self._ledgers: Sequence[LedgerFile] = ()
        self._admit: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._names: dict[bytes, str] = {}
        self._failed: Counter[_Key] = Counter()
        self._current: dict[_Key, str] = {}
        self._uses: dict[str, _Use] = {}
        self._shown: list[_Use] = []
        self._ended = False

    def begin(
        self,
        begun: Callable[[str, str], RunEntry],
        ledgers: Sequence[LedgerFile],
        limit: MonthlyLimit | None = None,
        *,
        rotates: bool = False,
    ) -> LedgerCertificate | None:
        """A run begins; `begun` makes its entry of its id and the time. Returns the certificate that the key had in the
        run before, where that is another one; it is recorded, too.

        The first of `ledgers` has the history that `limit` counts by; `rotates` is true for a key whose service chooses
        another certificate all the time. Raises PrerequisiteError when one can't be
        written.
        """
        self._ledgers = ledgers
        entry, before = begun(self.run, _now()), _LastCertificate()
        for ledger in ledgers:
            ledger.append(entry, partial(before.look, ledger))
        if limit is not None:
            self._admit = lambda: limit.check(_now()[: len("2026-01")])
        old = before.certificate
        if old is None or rotates or old.thumbprint == entry.certificate.thumbprint:
            return None
        self._write(RotatedEntry(run=self.run, time=_now(), old=old, new=entry.certificate))
        return old

    def name(self, digest: bytes, file: str) -> None:
        """A signature of `digest` is for `file`, where it is not said otherwise later."""
        with self._lock:
            self._names.setdefault(digest, fit_text(file))

    def ask(self, use: str, digest: bytes | None, algorithm: DigestAlgorithm, file: str | None = None) -> None:
        """A signature is about to be asked for, as the `new_use` `use`. Raises PrerequisiteError when that can't be
        written: then it must not be asked for."""
        moment = _now()
        with self._lock:
            attempt = 1
            if digest is not None:
                key = algorithm.value, digest
                attempt, self._current[key] = self._failed[key] + 1 if key in self._failed else 1, use
                file = file if file is not None else self._names.get(digest)
            asked = _Use(use, moment, attempt, algorithm.value, digest, fit_text(file) if file is not None else None)
            self._uses[use] = asked
            self.asked += 1
            if len(self._shown) < USES_SHOWN:
                self._shown.append(asked)
        entry = AskedEntry(run=self.run, time=moment, use=use, attempt=attempt, **_about(asked))
        try:
            self._write(entry, self._admit)
        except PrerequisiteError as refused:
            self._forget(use)
            if refused.code != BUDGET_SPENT:  # then no ledger has a line of it
                about = _about(asked)
                self._note(OutcomeEntry(run=self.run, time=_now(), use=use, outcome="refused", **about))
            raise

    def answered(
        self, use: str, certificate: str | None, request_id: str | None = None, operation: str | None = None
    ) -> None:
        """The key store answered: with a signature of the certificate with this thumbprint, or with an operation."""
        moment = _now()
        with self._lock:
            known = self._uses.get(use)
            if known is not None:
                known.answered, known.certificate = moment, certificate or known.certificate
                known.request_id, known.operation = request_id or known.request_id, operation or known.operation
        texts = {"request_id": request_id, "operation": operation}
        fitted = {name: fit_text(text) for name, text in texts.items() if text is not None}
        self._note(SignedEntry(run=self.run, time=moment, use=use, certificate=certificate, **fitted))

    def ended(self, use: str, outcome: Outcome, reason: str | None = None) -> None:
        """A use has this outcome; `reason` is the code of the error."""
        with self._lock:
            known = self._uses.pop(use, None)
            if known is None:
                return
            known.outcome = outcome
            self.outcomes[outcome] += 1
            if known.digest is not None and outcome in {"refused", "lost", "discarded"}:
                self._failed[known.algorithm, known.digest] += 1
        about = _about(known)
        self._note(OutcomeEntry(run=self.run, time=_now(), use=use, outcome=outcome, reason=reason, **about))

    def discarded(self, digest: bytes, algorithm: DigestAlgorithm, reason: str) -> None:
        """No file will have the signature of `digest`."""
        use = self._current.get((algorithm.value, digest))
        if use is not None:
            self.ended(use, "discarded", reason)

    def adopt(self, digest: bytes, algorithm: DigestAlgorithm, use: str | None, origin: _Origin) -> None:
        """The signature of `digest` was obtained by another run, as its use `use`, where that is known."""
        with self._lock:
            self._current[algorithm.value, digest] = use or origin

    def embedded(self, digest: bytes, algorithm: DigestAlgorithm, file: str | None, sha256: str | None = None) -> None:
        """The signature of `digest` is in `file`, whose SHA-256 (hex) was `sha256` before."""
        with self._lock:
            origin, named = self._current.get((algorithm.value, digest)), self._names.pop(digest, None)
            file = file if file is not None else named
        about: dict[str, Any] = {"digest": digest.hex(), "algorithm": algorithm.value, "sha256_before": sha256 or None}
        about["file"] = fit_text(file) if file is not None else None
        if origin in {"journal", "cache"}:
            self._note(ReusedEntry(run=self.run, time=_now(), origin=origin, **about))
        elif origin is not None:
            self._embed(origin, about)

    def embedded_use(self, use: str, file: str, sha256: str | None) -> None:
        """The signature of `use`, whose digest is not known, is in `file`."""
        about = {"algorithm": "sha256", "file": fit_text(file), "sha256_before": sha256 or None}
        with self._lock:
            known = self._uses.get(use)
            if known is not None:
                about["algorithm"] = known.algorithm
        self._embed(use, about)

    def settled(self, request: LostRequest, outcome: Outcome, reason: str | None = None) -> None:
        """What a run before this one asked for has this outcome; without an id in the ledger it gets one."""
        about: dict[str, Any] = {"digest": request.key.digest, "algorithm": request.key.algorithm, "reason": reason}
        if request.time:
            about["asked"] = _moment(datetime.fromtimestamp(request.time, UTC))
        use = request.use or new_use()
        self._note(OutcomeEntry(run=self.run, time=_now(), use=use, outcome=outcome, **about))

    def end(self, *, kept: bool) -> None:
        """The run ends: what no file has is `kept` for the next run, or discarded; what was not answered is lost."""
        for known in list(self._uses.values()):
            unanswered: Outcome = "kept" if kept and known.operation is not None else "lost"
            got: Outcome = "kept" if kept else "discarded"
            self.ended(known.use, got if known.answered and not known.operation else unanswered)
        self._note(EndEntry(run=self.run, time=_now(), asked=self.asked, outcomes=dict(self.outcomes)))
        self._ended = True
        for ledger in self._ledgers:
            ledger.sync()

    @property
    def shown(self) -> tuple[KeyUseFacts, ...]:
        """The first uses of the key, for the report."""
        return tuple(use.facts for use in self._shown)

    def _embed(self, use: str, about: dict[str, Any]) -> None:
        with self._lock:
            known = self._uses.pop(use, None)
            if known is not None:
                known.outcome = "embedded"
                self.outcomes["embedded"] += 1
        self._note(OutcomeEntry(run=self.run, time=_now(), use=use, outcome="embedded", **about))

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

    def _forget(self, use: str) -> None:
        """The key is not asked for this use."""
        with self._lock:
            known = self._uses.pop(use)
            self.asked -= 1
            self._shown = [shown for shown in self._shown if shown is not known]


class _LastCertificate:
    """The certificate of the key in the run before, by the first ledger that has a history."""

    def __init__(self) -> None:
        self.certificate: LedgerCertificate | None = None

    def look(self, ledger: LedgerFile) -> None:
        """Before the entry of this run is written."""
        if ledger.history is not None:
            self.certificate = ledger.history.certificate


def new_use() -> str:
    """The id of a use of the key."""
    return secrets.token_hex(16)


def _about(use: _Use) -> dict[str, Any]:
    digest = use.digest.hex() if use.digest is not None else None
    return {"digest": digest, "algorithm": use.algorithm, "file": use.file}


def _now() -> str:
    return _moment(datetime.now(UTC))


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
