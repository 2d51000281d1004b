"""What the comparison found: a closed account of every use and every signature."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from kspsign.reconciliation.clocks import Clocks, Shift, shifts
from kspsign.reconciliation.key_logs.read import KeyLog
from kspsign.reconciliation.ledgers import Ledgers
from kspsign.reconciliation.matching import REPEATED, WINDOW, Matcher, key_parts
from kspsign.reconciliation.tables import MADE, OUTCOMES, LedgerKey, LogKey

DAY: Final = 86400
Result = Literal["accounted", "unaccounted", "missing", "incomplete"]
EXIT_CODES: Final[Mapping[Result, int]] = {"accounted": 0, "unaccounted": 8, "missing": 2, "incomplete": 2}
"""Each use has a signature, and each signature a use; a use has none; a signature has none; something was not
compared."""
_STORE_LOGS: Final = {
    "azure-key-vault": "azure-key-vault",
    "azure-artifact-signing": "azure-artifact-signing",
    "keylocker": "digicert-one",
    "aws-kms": "aws-cloudtrail",
    "google-cloud-kms": "google-cloud",
}
_SEPARATORS: Final = re.compile(r"[/:.]")


class Scope(NamedTuple):
    """What is compared: uses and signatures from `since` on and before `until` (seconds since 1970), of the keys that
    have one of these names; of all keys where there are none. A use whose record names no key may be of any."""

    since: float | None = None
    until: float | None = None
    keys: frozenset[str] = frozenset()

    def has_time(self, time: float) -> bool:
        """Whether a use or signature of that time is compared."""
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)

    def has_key(self, names: Iterable[str]) -> bool:
        """Whether those of a key with these names are."""
        return not self.keys or any(not self.keys.isdisjoint(key_parts(name)) for name in names)


@dataclass(slots=True)
class Coverage:
    """The time that each log covers: from its first record to its last, whatever they are about."""

    spans: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, log_format: str, scope: str, time: float) -> None:
        """A record of the log of `scope`."""
        span = self.spans.get((log_format, scope))
        if span is None:
            self.spans[log_format, scope] = [time, time]
        elif time < span[0]:
            span[0] = time
        elif time > span[1]:
            span[1] = time


@dataclass(slots=True)
class Account:
    """Counts of one pipeline, person, caller or day."""

    signatures: int = 0
    uses: int = 0
    unaccounted: int = 0
    missing: int = 0
    not_covered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Answer:
    """The whole answer. Lists hold the numbers of uses and of signatures.

    `missing` are signatures that a log which covers their time lacks, `not_covered` those that no log covers. Uses and
    signatures outside the scope, and `repeated` records of one use, are counted. `not_logged` counts signatures that
    were lost, and that no log has: the key did not make them.
    """

    ledgers: Ledgers
    logs: list[KeyLog]
    matcher: Matcher
    scope: Scope
    skew: float
    coverage: Coverage
    unaccounted: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    not_covered: list[int] = field(default_factory=list)
    matched: Counter[int] = field(default_factory=Counter)
    outside: int = 0
    outside_signatures: int = 0
    repeated: int = 0
    not_logged: int = 0
    pipelines: dict[str, Account] = field(default_factory=dict)
    people: dict[str, Account] = field(default_factory=dict)
    callers: dict[str, Account] = field(default_factory=dict)
    days: dict[int, Account] = field(default_factory=dict)
    clocks: list[float] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)

    @property
    def unreadable(self) -> int:
        """Records of logs that could not be read."""
        return sum(log.unreadable for log in self.logs)

    @property
    def unknown_keys(self) -> list[str]:
        """Keys that the scope names and that no use and no signature is of: with one misspelt, everything else would be
        left aside."""
        in_logs = (key.name.lower() for key in self.matcher.keys)
        in_ledgers = (name for key in self.ledgers.keys for name in key.names)
        return sorted(self.scope.keys.difference(*map(key_parts, (*in_logs, *in_ledgers))))

    @property
    def result(self) -> Result:
        """The worst that was found."""
        if self.unaccounted:
            return "unaccounted"
        if self.missing:
            return "missing"
        nothing = not len(self.matcher.uses) and not len(self.ledgers.signatures)
        refused = any(not facts.accepted for facts in self.ledgers.facts)
        if self.not_covered or self.unreadable or refused or nothing or self.unknown_keys:
            return "incomplete"
        return "accounted"

    def among(self, number: int) -> int:
        """How many uses of the key were matched by their time alone near this one, so that it may be any of them."""
        uses = self.matcher.uses
        if self._by_time is None:
            self._by_time = {}
            for other, match in enumerate(uses.match):
                if match == WINDOW:
                    self._by_time.setdefault(uses.keys[other], []).append(uses.times[other])
            for times in self._by_time.values():
                times.sort()
        times = self._by_time.get(uses.keys[number], [])
        time = uses.times[number]
        return bisect_right(times, time + self.skew) - bisect_left(times, time - self.skew)

    _by_time: dict[int, list[float]] | None = None


def answer(
    ledgers: Ledgers, logs: list[KeyLog], matcher: Matcher, coverage: Coverage, scope: Scope, skew: float
) -> Answer:
    """The account of everything that was read, after `matcher.finish`."""
    found = Answer(ledgers, logs, matcher, scope, skew, coverage)
    clocks = Clocks(ledgers, matcher)
    found.clocks = clocks.beyond(skew)
    _account_for_uses(found)
    _account_for_signatures(found, clocks)
    left = [*found.missing, *found.not_covered]
    found.shifts = [*shifts(ledgers, matcher, found.unaccounted, left)] if left else []
    return found


def _account_for_uses(found: Answer) -> None:
    uses, keys = found.matcher.uses, found.matcher.keys
    in_scope = [not key.name or found.scope.has_key((key.name.lower(),)) for key in keys]
    for number, match in enumerate(uses.match):
        if uses.reason[number] == REPEATED:
            found.repeated += 1
            continue
        time = uses.times[number]
        if not match and not (in_scope[uses.keys[number]] and found.scope.has_time(time)):
            found.outside += 1
            continue
        accounts = (
            found.callers.setdefault(found.matcher.callers[uses.callers[number]], Account()),
            found.days.setdefault(int(time // DAY), Account()),
        )
        for account in accounts:
            account.uses += 1
            account.unaccounted += not match
        if match:
            found.matched[match] += 1
        else:
            found.unaccounted.append(number)


def _account_for_signatures(found: Answer, clocks: Clocks) -> None:
    table, ledgers = found.ledgers.signatures, found.ledgers
    in_scope = [found.scope.has_key(key.names) for key in ledgers.keys]
    covering = [_spans(found, number, key) for number, key in enumerate(ledgers.keys)]
    for row in range(len(table)):
        signer = ledgers.signer(row)
        matched = table.matched[row] >= 0
        if table.accepted[row] != 1:
            continue
        if not matched and not (in_scope[signer.key] and found.scope.has_time(table.asked[row])):
            found.outside_signatures += 1
            continue
        accounts = (
            found.pipelines.setdefault(signer.pipeline, Account()),
            found.people.setdefault(signer.person, Account()),
            found.days.setdefault(int(table.asked[row] // DAY), Account()),
        )
        missing = not_covered = False
        if not matched:
            asked = clocks.asked(row)
            covered = any(first <= asked <= last for first, last in covering[signer.key])
            made = table.outcomes[row] in MADE
            missing, not_covered = covered and made, not covered
            found.not_logged += covered and not made
            (found.missing if missing else found.not_covered if not_covered else []).append(row)
        for account in accounts:
            account.signatures += 1
            account.outcomes[OUTCOMES[table.outcomes[row]]] += 1
            account.missing += missing
            account.not_covered += not_covered
        for account in accounts[:2]:
            account.uses += matched


def _spans(found: Answer, number: int, key: LedgerKey) -> list[tuple[float, float]]:
    """The times that logs cover of a key of the ledgers: logs with its key, and logs of the place that it is in."""
    matcher = found.matcher
    logs = {(log.format, log.scope) for at, log in enumerate(matcher.keys) if matcher.belongs(number, at)}
    parts = {part for name in key.names for part in _SEPARATORS.split(name)}
    for log_format, scope in found.coverage.spans:
        if _STORE_LOGS.get(key.store) == log_format and parts.issuperset(filter(None, scope.lower().split("/"))):
            logs.add((log_format, scope))
    return [(first, last) for first, last in (found.coverage.spans[log] for log in logs)]


def shown_key(key: LogKey) -> str:
    """A key of a log, for people."""
    return key.name or f"a key that the log does not name ({key.scope or key.format})"
