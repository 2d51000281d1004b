"""Records every use of the key while a run signs: for its report, and in the ledgers that it writes."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from kspsign.ledger.text import fit_text
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import DigestAlgorithm, iso_utc

if TYPE_CHECKING:
    from kspsign.ledger.entries import LedgerCertificate, Outcome, RunEntry
    from kspsign.ledger.file import LedgerFile
    from kspsign.ledger.history import MonthlyLimit
    from kspsign.model.ledger_facts import KeyUseFacts
    from kspsign.signing.journal_entries import LostRequest
    from kspsign.signing.ledger_lines import LedgerLines

USES_SHOWN: Final = 1000
"""Uses of the key that the report lists; it counts all, and the ledger holds all."""
_Key = tuple[str, bytes]
_Origin = Literal["journal", "cache"]


@dataclass(slots=True, eq=False)
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
        from kspsign.model.ledger_facts import KeyUseFacts  # noqa: PLC0415 - of runs that sign

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

    `asked` is how often the key was asked, `outcomes` what became of it.
    """

    def __init__(self) -> None:
        self.run = secrets.token_hex(16)
        self.asked = 0
        self.outcomes: Counter[Outcome] = Counter()
        self._lines: LedgerLines | None = None
        self._lock = threading.Lock()
        self._names: dict[bytes, str] = {}
        self._failed: Counter[_Key] = Counter()
        self._current: dict[_Key, str] = {}
        self._uses: dict[str, _Use] = {}
        self._shown: list[_Use] = []

    def begin(
        self,
        begun: Callable[[str, str], RunEntry],
        ledgers: Sequence[LedgerFile],
        limit: MonthlyLimit | None = None,
        *,
        rotates: bool = False,
    ) -> LedgerCertificate | None:
        """Write `ledgers` from here on; `begun` makes the run's entry of its id and the time. All else is as
        `LedgerLines.begin` has it. Raises PrerequisiteError."""
        from kspsign.signing.ledger_lines import LedgerLines  # noqa: PLC0415 - takes long, and most runs write none

        self._lines = LedgerLines(self.run, ledgers)
        return self._lines.begin(begun(self.run, now()), limit, rotates=rotates)

    @property
    def fault(self) -> str | None:
        """Why a line could not be written."""
        return self._lines.fault if self._lines is not None else None

    def name(self, digest: bytes, file: str) -> None:
        """A signature of `digest` is for `file`, where it is not said otherwise later."""
        with self._lock:
            self._names.setdefault(digest, fit_text(file))

    def ask(self, use: str, digest: bytes | None, algorithm: DigestAlgorithm, file: str | None = None) -> None:
        """A signature is about to be asked for, as the `new_use` `use`. Raises PrerequisiteError when that can't be
        written: then it must not be asked for."""
        moment = now()
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
        if self._lines is None:
            return
        try:
            self._lines.asked(use, moment, attempt, _about(asked))
        except PrerequisiteError:
            self._forget(use)
            raise

    def answered(
        self, use: str, certificate: str | None, request_id: str | None = None, operation: str | None = None
    ) -> None:
        """The key store answered: with a signature of the certificate with this thumbprint, or with an operation."""
        moment = now()
        with self._lock:
            known = self._uses.get(use)
            if known is not None:
                known.answered, known.certificate = moment, certificate or known.certificate
                known.request_id, known.operation = request_id or known.request_id, operation or known.operation
        if self._lines is not None:
            texts = {"request_id": request_id, "operation": operation}
            fitted = {name: fit_text(text) for name, text in texts.items() if text is not None}
            self._lines.signed(use, moment, certificate=certificate, **fitted)

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
        if self._lines is not None:
            self._lines.outcome(use, outcome, {**_about(known), "reason": reason})

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
        if origin in {"journal", "cache"}:
            if self._lines is not None:
                self._lines.reused(cast("_Origin", origin), _embedding(digest.hex(), algorithm.value, file, sha256))
        elif origin is not None:
            self._embed(origin, digest.hex(), algorithm.value, file, sha256)

    def embedded_use(self, use: str, file: str, sha256: str | None) -> None:
        """The signature of `use`, whose digest is not known, is in `file`."""
        with self._lock:
            known = self._uses.get(use)
        self._embed(use, None, known.algorithm if known is not None else "sha256", file, sha256)

    def settled(self, request: LostRequest, outcome: Outcome, reason: str | None = None) -> None:
        """What a run before this one asked for has this outcome; without an id in the ledger it gets one."""
        if self._lines is None:
            return
        about: dict[str, Any] = {"digest": request.key.digest, "algorithm": request.key.algorithm, "reason": reason}
        if request.time:
            about["asked"] = iso_utc(datetime.fromtimestamp(request.time, UTC), timespec="milliseconds")
        self._lines.outcome(request.use or new_use(), outcome, about)

    def end(self, *, kept: bool) -> None:
        """The run ends: what no file has is `kept` for the next run, or discarded; what was not answered is lost."""
        for known in list(self._uses.values()):
            unanswered: Outcome = "kept" if kept and known.operation is not None else "lost"
            got: Outcome = "kept" if kept else "discarded"
            self.ended(known.use, got if known.answered and not known.operation else unanswered)
        if self._lines is not None:
            self._lines.end(self.asked, self.outcomes)

    @property
    def shown(self) -> tuple[KeyUseFacts, ...]:
        """The first uses of the key, for the report."""
        return tuple(use.facts for use in self._shown)

    def _embed(self, use: str, digest: str | None, algorithm: str, file: str | None, sha256: str | None) -> None:
        with self._lock:
            known = self._uses.pop(use, None)
            if known is not None:
                known.outcome = "embedded"
                self.outcomes["embedded"] += 1
        if self._lines is not None:
            self._lines.outcome(use, "embedded", _embedding(digest, algorithm, file, sha256))

    def _forget(self, use: str) -> None:
        """The key is not asked for this use."""
        with self._lock:
            known = self._uses.pop(use)
            self.asked -= 1
            self._shown = [shown for shown in self._shown if shown is not known]


def new_use() -> str:
    """The id of a use of the key."""
    return secrets.token_hex(16)


def _about(use: _Use) -> dict[str, Any]:
    digest = use.digest.hex() if use.digest is not None else None
    return {"digest": digest, "algorithm": use.algorithm, "file": use.file}


def _embedding(digest: str | None, algorithm: str, file: str | None, sha256: str | None) -> dict[str, Any]:
    """What a line says of a signature in a file, whose SHA-256 (hex) was `sha256` before."""
    shown = fit_text(file) if file is not None else None
    return {"digest": digest, "algorithm": algorithm, "file": shown, "sha256_before": sha256 or None}


def now() -> str:
    """The time, as entries of a ledger write it."""
    return iso_utc(datetime.now(UTC), timespec="milliseconds")
