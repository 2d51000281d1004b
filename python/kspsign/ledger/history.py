"""What a ledger says of the past: signatures that a definition spent in a month, and the last certificate of a key."""

from __future__ import annotations

import calendar
from collections import defaultdict
from datetime import datetime
from typing import Final

from kspsign.ledger.entries import AskedEntry, Entry, KeyFacts, LedgerCertificate, OutcomeEntry, RunEntry
from kspsign.model.errors import PrerequisiteError
from kspsign.model.plurals import count
from kspsign.model.run_facts import BuildFacts

BUDGET_SPENT: Final = "BUDGET_SPENT"
_PASSING: Final = frozenset({"certificate", "certificate_version", "version", "key_version"})
"""Parts of a key's address that a renewal changes."""
_MONTH: Final = len("2026-01")


class LedgerHistory:
    """Follows the entries of a ledger, for the definition of `build` and for `key`. Months are "2026-01", in UTC.

    Runs outside a build count together. `certificate` is that of the last run with the key.
    """

    def __init__(self, build: BuildFacts | None, key: KeyFacts) -> None:
        self.certificate: LedgerCertificate | None = None
        self._definition, self._key = _definition_of(build), _identity(key)
        self._ours: set[str] = set()
        self._spent: dict[str, set[str]] = defaultdict(set)

    def feed(self, entry: Entry) -> None:
        """The next entry."""
        if isinstance(entry, RunEntry):
            if _definition_of(entry.build) == self._definition:
                self._ours.add(entry.run)
            if _identity(entry.key) == self._key:
                self.certificate = entry.certificate
        elif isinstance(entry, AskedEntry):
            if entry.run in self._ours:
                self._spent[entry.time[:_MONTH]].add(entry.use)
        elif isinstance(entry, OutcomeEntry) and entry.outcome == "refused":
            for uses in self._spent.values():
                uses.discard(entry.use)

    def spent(self, month: str) -> int:
        """Signatures that the definition spent in the month, or may have spent."""
        return len(self._spent.get(month, ()))

    def forecast(self, now: datetime) -> int:
        """What the month will come to if it goes on as it began; `now` is in UTC."""
        days = calendar.monthrange(now.year, now.month)[1]
        passed = now.day - 1 + (now.hour * 60 + now.minute) / (24 * 60)
        return round(self.spent(f"{now:%Y-%m}") * days / max(passed, 1.0))


class MonthlyLimit:
    """At most `limit` signatures of a definition in a calendar month (UTC)."""

    def __init__(self, history: LedgerHistory, limit: int) -> None:
        self._history, self._limit = history, limit

    def check(self, month: str) -> None:
        """Raise PrerequisiteError (BUDGET_SPENT) when there is none left."""
        spent = self._history.spent(month)
        if spent >= self._limit:
            raise PrerequisiteError(
                f"the definition's limit of {count(self._limit, 'signature')} in {month} is used up, by the ledger "
                "(--max-signatures-per-month)",
                code=BUDGET_SPENT,
                remedy="Raise --max-signatures-per-month, or wait for the next month.",
            )


def _definition_of(build: BuildFacts | None) -> tuple[str, ...]:
    return () if build is None else (build.collection, build.project, build.definition)


def _identity(key: KeyFacts) -> tuple[object, ...]:
    """A key, whichever certificate it has."""
    if key.alias is not None:
        return key.store, key.alias
    return key.store, tuple(sorted(pair for pair in key.reference.items() if pair[0] not in _PASSING))
